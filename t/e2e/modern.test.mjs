// The client of the modern era (2026-07-28) against servers of that era: no handshake, questions inside of results,
// subscriptions on a stream of their own.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { able, connect } from './lib/clients.mjs';
import { request, rpc } from './lib/raw.mjs';
import { startWeir } from './lib/weir.mjs';
import { configure, conformance, overStdio, setUp, ways } from './lib/world.mjs';

const world = setUp(conformance);

const answers = {
    'sampling/createMessage': ({ messages }) => ({
        role: 'assistant',
        model: 'e2e-model',
        content: { type: 'text', text: `sampled <${messages[0].content.text}>` }
    }),
    'elicitation/create': ({ requestedSchema }) => {
        const [[name, { type }]] = Object.entries(requestedSchema.properties);
        return { action: 'accept', content: { [name]: type === 'boolean' ? true : `my ${name}` } };
    },
    'roots/list': () => ({ roots: [{ uri: 'file:///srv/one' }] })
};
const meta = {
    'io.modelcontextprotocol/protocolVersion': '2026-07-28',
    'io.modelcontextprotocol/clientInfo': { name: 'raw', version: '1' },
    'io.modelcontextprotocol/clientCapabilities': {}
};
const textOf = ({ content }) => content.map(({ text = '' }) => text).join('\n');

for (const way of ways)
    describe(`modern, ${way}`, { concurrency: true }, () => {
        let me;
        const scene = (name, play) => test(`modern, ${way}: ${name}`, play);
        const connected = at => connect('client 2.x auto', world.url(at), { capabilities: able, answers });
        const says = async (name, args, words) => assert.match(textOf(await me.callTool(name, args)), words);

        before(async () => {
            me = await connected(way);
        });
        after(() => me.close());

        scene('the_server_is_asked_and_no_session_is_opened', () => {
            assert.equal(me.client.getProtocolEra(), 'modern');
            assert.equal(me.client.getNegotiatedProtocolVersion(), '2026-07-28');
            assert.equal(me.session, undefined);
        });

        scene('offers_what_the_server_offers_directly', async () => {
            const other = await connected('direct');
            for (const list of ['listTools', 'listResources', 'listResourceTemplates', 'listPrompts'])
                assert.deepEqual(await me.client[list](), await other.client[list]());
            assert.deepEqual(me.client.getServerVersion(), other.client.getServerVersion());
            await other.close();
        });

        scene('tools_are_called', async () => {
            await says('test_simple_text', {}, /simple text response/);
            const { content } = await me.callTool('test_multiple_content_types');
            assert.deepEqual(content.map(({ type }) => type), ['text', 'image', 'resource']); // prettier-ignore
            assert.ok((await me.callTool('test_error_handling')).isError);
        });

        scene('progress_arrives_with_its_call', async () => {
            const steps = [];
            await me.callTool('test_tool_with_progress', {}, { onprogress: ({ progress }) => steps.push(progress) });
            assert.deepEqual(steps, [0, 50, 100]);
        });

        scene('a_parameter_is_mirrored_into_a_header', () => says('test_x_mcp_header', { region: 'north sea' }, /region=north sea/));

        scene('what_a_tool_asks_for_is_answered', async () => {
            await says('test_input_required_result_elicitation', {}, /Hello, my name!/);
            await says('test_input_required_result_sampling', {}, /sampled <What is the capital of France\?>/);
            await says('test_input_required_result_list_roots', {}, /file:\/\/\/srv\/one/);
            await says('test_input_required_result_request_state', {}, /state-ok/);
            await says('test_input_required_result_multi_round', {}, /my name likes my color/);
            await says('test_input_required_result_multiple_inputs', {}, /sampled <Generate a greeting> my name/);
        });

        scene('resources_are_read_and_prompts_filled_in', async () => {
            const { contents } = await me.client.readResource({ uri: 'test://template/42/data' });
            assert.equal(JSON.parse(contents[0].text).id, '42');
            const { messages } = await me.client.getPrompt({
                name: 'test_prompt_with_arguments',
                arguments: { arg1: 'a', arg2: 'b' }
            });
            assert.match(messages[0].content.text, /arg1='a', arg2='b'/);
            await assert.rejects(me.client.readResource({ uri: 'test://none' }), { code: -32602 });
        });

        scene('a_subscription_brings_changes_until_it_is_closed', async () => {
            const listener = await connected(way);
            const subscription = await listener.client.listen({ toolsListChanged: true });
            assert.deepEqual(subscription.honoredFilter, { toolsListChanged: true });
            await listener.callTool('test_trigger_tool_change');
            await listener.hears(({ method }) => method === 'notifications/tools/list_changed');
            await subscription.close();
            assert.equal(await subscription.closed, 'local');
            await listener.close();
        });

        scene('an_unknown_method_is_not_found', async () => {
            const headers = { 'mcp-protocol-version': '2026-07-28', 'mcp-method': 'nothing/like/it' };
            const reply = await request(world.url(way), 'POST', headers, rpc('nothing/like/it', { _meta: meta }, 'x'));
            assert.equal(reply.status, 404);
            const { id, error } = JSON.parse(reply.text);
            assert.equal(id, 'x');
            assert.equal(error.code, -32601);
        });
    });

test('modern, stdio: a_server_that_dies_of_its_first_question_fails_the_request_that_waits', { skip: !ways.includes('stdio') }, async () => {
    const weir = await startWeir(configure({ dies: overStdio(['/bin/sh', '-c', 'read question']) }));
    const headers = { 'mcp-protocol-version': '2026-07-28', 'mcp-method': 'tools/list' };
    const reply = await request(weir.url('edge', '/dies'), 'POST', headers, rpc('tools/list', { _meta: meta }, 1));
    await weir.stop();
    assert.equal(reply.status, 502, reply.text);
    assert.equal(JSON.parse(reply.text).error.data.reason, 'server_died');
});
