// Parameters that a client repeats in fields of its head, for servers that have no heads: weir is their HTTP server, and checks
// for them what servers over HTTP check themselves.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { until } from './lib/process.mjs';
import { Connection, openSession, request, rpc } from './lib/raw.mjs';
import { here, startWeir } from './lib/weir.mjs';
import { configure, node, ways } from './lib/world.mjs';

const how = (name, more) => ({
    transport: 'stdio',
    command: [node, join(here, 'servers/params.mjs'), name],
    chain: [{ pool: { min: 1, max: 1 } }],
    ...more
});

const _meta = {
    'io.modelcontextprotocol/protocolVersion': '2026-07-28',
    'io.modelcontextprotocol/clientInfo': { name: 'raw', version: '1' },
    'io.modelcontextprotocol/clientCapabilities': {}
};
const modern = (method, headers) => ({ 'mcp-protocol-version': '2026-07-28', 'mcp-method': method, ...headers });
const base64 = text => `=?base64?${Buffer.from(text).toString('base64')}?=`;

/* What a modern client gets: { status, id, text } of a result, { status, id, code, message, data } of an error. */
async function ask(url, method, params, headers) {
    const { status, text } = await request(url, 'POST', modern(method, headers), rpc(method, { ...params, _meta }, 7));
    const { id, result, error } = JSON.parse(text);
    return { status, id, ...(error ?? { text: result.content?.[0].text }) };
}

describe('params', { skip: !ways.includes('stdio') }, () => {
    let weir, url;
    const scene = (name, play) => test(`params, stdio: ${name}`, play);
    const call = (name, args, headers) => ask(url, 'tools/call', { name, arguments: args }, { 'mcp-name': name, ...headers });
    const told = async () => JSON.parse((await call('told')).text);
    const mismatch = (reply, words) => {
        assert.equal(reply.status, 400);
        assert.equal(reply.code, -32020);
        assert.equal(reply.id, 7);
        assert.match(reply.message, words);
    };
    const runs = (reply, name) => assert.deepEqual(reply, { status: 200, id: 7, text: `ran ${name}` });
    const isLoggedOnce = async words => {
        await until(() => logged(words).length > 0, () => `the log says so:\n${weir.stderr()}`); // prettier-ignore
        assert.equal(logged(words).length, 1, weir.stderr());
    };
    const logged = words => weir.stderr().split('\n').filter(line => line.includes('cannot learn which parameters') && line.includes(words));

    before(async () => {
        const upstreams = {
            lists: how('lists'),
            sessions: how('lists'),
            fails: how('fails'),
            dies: how('dies'),
            none: how('none'),
            endless: how('endless'),
            changes: how('changes'),
            silent: how('silent', { reply_timeout: '4s' })
        };
        weir = await startWeir(configure(upstreams));
        url = weir.url('edge', '/lists');
    });
    after(() => weir?.stop());

    scene('calls_that_come_before_the_list_is_known_are_checked_too', async () => {
        const replies = await Promise.all([
            call('query', { region: 'a' }, { 'mcp-param-region': 'a' }),
            call('query', { region: 'b' }, { 'mcp-param-region': 'a' }),
            call('move', { target: { zone: 'c' } }),
            call('plain', { region: 'd' })
        ]);
        runs(replies[0], 'query');
        mismatch(replies[1], /Mcp-Param-Region header value 'a' does not match body value "b"/);
        mismatch(replies[2], /Mcp-Param-Zone is missing/);
        runs(replies[3], 'plain');
        assert.deepEqual((await told()).calls.toSorted(), ['plain', 'query', 'told']);
    });

    scene('a_field_that_says_what_the_argument_says_lets_the_call_pass', async () => {
        runs(await call('query', { region: 'us-west1', n: 42 }, { 'mcp-param-region': '  us-west1 ', 'MCP-PARAM-N': '42.0' }), 'query');
        runs(await call('query', { region: 'Grönland ' }, { 'mcp-param-region': base64('Grönland ') }), 'query');
        runs(await call('move', { target: { zone: 'z' } }, { 'mcp-param-zone': 'z' }), 'move');
    });

    scene('a_field_is_not_expected_where_there_is_no_value', async () => {
        runs(await call('query', {}), 'query');
        runs(await call('query', { region: null }), 'query');
        runs(await call('move', { target: {} }), 'move');
    });

    scene('a_field_that_is_missing_or_says_something_else_is_refused_before_the_server_hears_of_it', async () => {
        const before = await told();
        mismatch(await call('query', { region: 'x' }), /Mcp-Param-Region is missing/);
        mismatch(await call('query', { region: 'x' }, { 'mcp-param-region': 'y' }), /does not match/);
        mismatch(await call('query', { region: 'x' }, { 'mcp-param-region': base64('y') }), /does not match/);
        mismatch(await call('query', { region: 'x' }, { 'mcp-param-region': '=?base64?eA?=' }), /invalid Base64/);
        mismatch(await call('query', {}, { 'mcp-param-region': 'x' }), /no value/);
        mismatch(await call('query', { n: 7 }, { 'mcp-param-n': '8' }), /Mcp-Param-N/);
        assert.deepEqual((await told()).calls, [...before.calls, 'told']);
    });

    scene('nobody_gets_past_by_writing_names_with_escapes', async () => {
        const body = rpc('tools/call', { name: 'query', arguments: { region: 'x' }, _meta }, 7);
        const escaped = body.replace('"query"', '"\\u0071uery"').replace('"region"', '"r\\u0065gion"').replace('tools/call', 'tools\\/call');
        const headers = modern('tools/call', { 'mcp-name': 'query' });
        const { status, text } = await request(url, 'POST', headers, escaped);
        mismatch({ status, ...JSON.parse(text).error, id: JSON.parse(text).id }, /Mcp-Param-Region is missing/);
        const { status: passed } = await request(url, 'POST', { ...headers, 'mcp-param-region': 'x' }, escaped);
        assert.equal(passed, 200);
    });

    scene('a_server_is_asked_once', async () => {
        assert.equal((await told()).lists, 2, 'one question, two pages');
    });

    scene('a_client_of_a_session_repeats_nothing', async () => {
        const at = weir.url('edge', '/sessions');
        mismatch(await ask(at, 'tools/call', { name: 'query', arguments: { region: 'x' } }, { 'mcp-name': 'query' }), /is missing/);
        const session = await openSession(at);
        const { result } = await session.call('tools/call', { name: 'query', arguments: { region: 'x' } });
        assert.equal(result.content[0].text, 'ran query');
        await session.end();
    });

    scene('a_list_that_a_client_asks_for_teaches_what_is_new', async () => {
        runs(await call('retag', { to: 'Area' }), 'retag');
        await ask(url, 'tools/list', {});
        runs(await call('query', { region: 'x' }, { 'mcp-param-area': 'x' }), 'query');
        mismatch(await call('query', { region: 'x' }, { 'mcp-param-region': 'x' }), /Mcp-Param-Area is missing/);
        assert.equal((await told()).lists, 3, 'weir has not asked again');
    });

    scene('a_list_that_has_changed_is_asked_for_again', async () => {
        const listener = new Connection(url);
        listener.send('POST', modern('subscriptions/listen'), rpc('subscriptions/listen', { notifications: { toolsListChanged: true }, _meta }, 'sub'));
        await listener.head();
        assert.match((await listener.event()).data, /acknowledged/);
        runs(await call('retag', { to: 'Place', aloud: true }), 'retag');
        assert.match((await listener.event()).data, /tools\/list_changed/);
        mismatch(await call('query', { region: 'x' }, { 'mcp-param-area': 'x' }), /Mcp-Param-Place is missing/);
        runs(await call('query', { region: 'x' }, { 'mcp-param-place': 'x' }), 'query');
        assert.equal((await told()).lists, 5);
        listener.close();
    });

    scene('a_list_that_changes_while_weir_asks_for_it_serves_those_that_wait_and_nobody_else', async () => {
        url = weir.url('edge', '/changes');
        runs(await call('query', { region: 'x' }, { 'mcp-param-region': 'x' }), 'query');
        mismatch(await call('query', { region: 'x' }, { 'mcp-param-region': 'x' }), /Mcp-Param-Area is missing/);
        assert.equal((await told()).lists, 4, 'two questions, two pages each');
    });

    scene('a_server_without_a_list_of_tools_is_called_unchecked_and_that_is_worth_no_word', async () => {
        url = weir.url('edge', '/none');
        runs(await call('query', { region: 'x' }), 'query');
        assert.equal((await told()).lists, 1);
        assert.equal(logged('none: ').length, 0);
    });

    scene('a_list_without_an_end_is_read_up_to_a_bound_and_what_it_says_counts', async () => {
        url = weir.url('edge', '/endless');
        mismatch(await call('move', { target: { zone: 'x' } }), /Mcp-Param-Zone is missing/);
        runs(await call('query', { region: 'x' }), 'query');
        assert.equal((await told()).lists, 100);
        await isLoggedOnce('endless: ');
    });

    for (const name of ['fails', 'silent'])
        scene(`a_server_whose_list_${name}_is_called_unchecked_and_the_log_says_so_once`, async () => {
            url = weir.url('edge', `/${name}`);
            runs(await call('query', { region: 'x' }), 'query');
            runs(await call('query', { region: 'x' }, { 'mcp-param-region': 'y' }), 'query');
            assert.equal((await told()).lists, 1);
            await isLoggedOnce(`${name}: `);
        });

    scene('a_server_that_dies_of_the_question_fails_the_call_and_is_not_asked_for_ever', async () => {
        url = weir.url('edge', '/dies');
        const replies = [];
        while (replies.at(-1)?.status !== 200 && replies.length < 4) replies.push(await call('query', { region: 'x' }));
        assert.deepEqual(replies.map(({ status, data }) => data?.reason ?? status), ['server_died', 'server_died', 'server_died', 200]);
        await isLoggedOnce('dies: ');
    });
});
