// What a client gets for a request that weir itself has to refuse: the status, the JSON-RPC error with the request's own id where
// there is one, and a word in the access log. No server hears of it.
import assert from 'node:assert/strict';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { quiet, startEcho } from './lib/fake.mjs';
import { until } from './lib/process.mjs';
import { Connection, rpc } from './lib/raw.mjs';
import { startWeir } from './lib/weir.mjs';

const accessLog = join(tmpdir(), `weir-e2e-access-${process.pid}`);
let echo, weir;

before(async () => {
    echo = await startEcho();
    writeFileSync(accessLog, '');
    const routes = [
        { path: '/mcp', upstream: 'echo' },
        { path: '/named', host: 'a.localhost', upstream: 'echo' }
    ];
    const listener = { transport: 'http', listen: '127.0.0.1:0', routes };
    const config = {
        workers: 1,
        modules: ['http', 'pool'],
        access_log: { file: accessLog, flush: '1ms' },
        listeners: {
            local: listener,
            small: { ...listener, max_head: '1KiB', max_message: '1KiB', header_timeout: '500ms', body_timeout: '50ms' },
            pages: { ...listener, allowed_origins: ['https://app.example'] },
            any: { ...listener, allowed_origins: ['*'] },
            hosts: { ...listener, allowed_hosts: ['mcp.example', 'other.example:8443'] },
            world: { ...listener, listen: '0.0.0.0:0' }
        },
        upstreams: { echo: { transport: 'http', servers: [{ url: `http://127.0.0.1:${echo.port}/` }], chain: [{ pool: quiet }] } }
    };
    weir = await startWeir(JSON.stringify(config));
});

after(async () => {
    await echo?.stop();
    rmSync(accessLog);
    await weir?.stop();
});

const portOf = name => weir.stderr().match(new RegExp(`listener ${name}: listening on [0-9.]+:(\\d+)`))[1];
const connect = listener => new Connection(`http://127.0.0.1:${portOf(listener)}/mcp`);

const modern = (method, params = {}) => rpc(method, { ...params, _meta: { 'io.modelcontextprotocol/protocolVersion': '2026-07-28' } }, 'm');
const modernFields = (more = {}) => ({ 'MCP-Protocol-Version': '2026-07-28', 'Mcp-Method': 'tools/call', 'Mcp-Name': 'a', ...more });
const modernCall = modern('tools/call', { name: 'a' });

const body = rpc('ping', undefined, 1);
const long = text => `${text}${'x'.repeat(2000)}`;

/* what: [request, status, what the access log calls it, { code, id, reason, closes, on }] */
const table = {
    no_http: [{ bytes: '\0\0\0\x14mcp' }, 400, 'bad_request', { closes: true }],
    another_version_of_http: [{ bytes: 'GET /mcp HTTP/3.0\r\n\r\n' }, 505, 'bad_http_version', { closes: true }],
    a_head_too_large: [{ headers: { X: long('') } }, 431, 'head_too_large', { on: 'small', closes: true }],
    a_head_that_does_not_come: [{ bytes: 'POST /mcp' }, 408, 'request_timeout', { on: 'small', closes: true }],
    a_body_that_does_not_come: [{ headers: { 'content-length': 100 }, body: '{' }, 408, 'request_timeout', { on: 'small', closes: true }],
    a_body_too_large: [{ headers: { 'content-length': 2000 }, body: '{' }, 413, 'too_large', { on: 'small', closes: true }],
    a_wrong_type: [{ headers: { 'content-type': 'text/plain' }, body }, 415, 'bad_type'],
    no_type: [{ headers: { 'content-type': '' }, body }, 415, 'bad_type'],
    a_type_that_only_begins_well: [{ headers: { 'content-type': 'application/jsonp' }, body }, 415, 'bad_type'],
    ...Object.fromEntries(
        ['PUT', 'PATCH', 'TRACE', 'OPTIONS', 'BREW', 'post'].map(method => [
            `the_method_${method}`,
            [{ method }, 405, 'bad_method', { allow: true }]
        ])
    ),
    an_unknown_path: [{ path: '/other', body }, 404, 'not_found'],
    a_path_that_only_begins_well: [{ path: '/mcp/', body }, 404, 'not_found'],
    a_path_on_another_host: [{ path: '/named', body }, 404, 'not_found'],
    a_host_that_is_not_this_machine: [{ headers: { host: 'evil.example' }, body }, 403, 'bad_origin'],
    a_host_that_looks_like_this_machine: [{ headers: { host: '127.0.0.1.evil.example' }, body }, 403, 'bad_origin'],
    a_host_that_begins_like_this_machine: [{ headers: { host: 'localhost.evil.example:80' }, body }, 403, 'bad_origin'],
    an_empty_host: [{ headers: { host: '' }, body }, 403, 'bad_origin'],
    a_page_of_elsewhere: [{ headers: { origin: 'https://evil.example' }, body }, 403, 'bad_origin'],
    a_page_that_looks_like_this_machine: [{ headers: { origin: 'http://localhost.evil.example' }, body }, 403, 'bad_origin'],
    a_page_without_an_origin_of_its_own: [{ headers: { origin: 'null' }, body }, 403, 'bad_origin'],
    a_page_that_is_not_on_the_list: [{ headers: { origin: 'http://localhost' }, body }, 403, 'bad_origin', { on: 'pages' }],
    a_page_that_comes_by_another_scheme: [{ headers: { origin: 'http://app.example' }, body }, 403, 'bad_origin', { on: 'pages' }],
    a_host_that_is_not_on_the_list: [{ headers: { host: 'evil.example' }, body }, 403, 'bad_origin', { on: 'hosts' }],
    a_port_that_is_not_on_the_list: [{ headers: { host: 'other.example' }, body }, 403, 'bad_origin', { on: 'hosts' }],
    a_page_of_elsewhere_on_an_open_address: [{ headers: { origin: 'http://evil.example' }, body }, 403, 'bad_origin', { on: 'world' }],
    no_json: [{ body: '{"jsonrpc":' }, 400, 'not_json', { code: -32700 }],
    an_empty_body: [{ body: '' }, 400, 'not_json', { code: -32700 }],
    two_messages: [{ body: body + body }, 400, 'not_json', { code: -32700 }],
    json_that_is_no_message: [{ body: '{"a":1}' }, 400, 'not_jsonrpc', { code: -32600 }],
    another_version_of_json_rpc: [{ body: '{"jsonrpc":"1.0","id":7,"method":"ping"}' }, 400, 'not_jsonrpc', { code: -32600, id: 7 }],
    a_method_that_is_no_string: [{ body: '{"jsonrpc":"2.0","id":"q","method":4}' }, 400, 'not_jsonrpc', { code: -32600, id: 'q' }],
    a_message_nested_too_deep: [{ body: `${'['.repeat(1000)}${']'.repeat(1000)}` }, 400, 'not_jsonrpc', { code: -32600 }],
    a_version_only_in_the_body: [
        { headers: modernFields({ 'MCP-Protocol-Version': undefined }), body: modernCall },
        400,
        'header_mismatch',
        { code: -32020, id: 'm' }
    ],
    another_version_in_the_body: [
        { headers: modernFields({ 'MCP-Protocol-Version': '2026-07-29' }), body: modernCall },
        400,
        'header_mismatch',
        { code: -32020, id: 'm' }
    ],
    a_method_only_in_the_body: [
        { headers: modernFields({ 'Mcp-Method': undefined }), body: modernCall },
        400,
        'header_mismatch',
        { code: -32020, id: 'm' }
    ],
    another_method_in_the_body: [
        { headers: modernFields({ 'Mcp-Method': 'tools/list' }), body: modernCall },
        400,
        'header_mismatch',
        { code: -32020, id: 'm' }
    ],
    a_name_only_in_the_body: [
        { headers: modernFields({ 'Mcp-Name': undefined }), body: modernCall },
        400,
        'header_mismatch',
        { code: -32020, id: 'm' }
    ],
    another_name_in_the_body: [
        { headers: modernFields({ 'Mcp-Name': 'A' }), body: modernCall },
        400,
        'header_mismatch',
        { code: -32020, id: 'm' }
    ],
    a_name_that_is_no_base64: [
        { headers: modernFields({ 'Mcp-Name': '=?base64?!?=' }), body: modernCall },
        400,
        'header_mismatch',
        { code: -32020, id: 'm' }
    ],
    a_session_of_somewhere_else: [
        { headers: { 'mcp-session-id': 'x' }, body },
        404,
        'session_not_found',
        { code: -32600, id: 1, reason: 'session_not_found' }
    ]
};

const logLines = () =>
    readFileSync(accessLog, 'utf8')
        .split('\n')
        .slice(0, -1)
        .map(line => JSON.parse(line));

for (const [what, [request, status, word, { code, id, reason, closes = false, on = 'local', allow = false } = {}]] of Object.entries(table))
    test(`${what}_is_answered_with_${status}`, async () => {
        const seen = echo.seen.length;
        const logged = logLines().length;
        const connection = connect(on);
        if (request.path) connection.target = request.path;
        if (request.bytes) connection.write(request.bytes);
        else connection.send(request.method ?? 'POST', request.headers, request.body ?? (request.method ? undefined : body));
        const head = await connection.head();
        const text = await connection.body();
        assert.equal(head.status, status, text);
        assert.equal(head.headers.connection, closes ? 'close' : undefined);
        assert.equal(head.headers.allow, allow ? 'POST, GET, DELETE, OPTIONS' : undefined);
        if (code) {
            assert.equal(head.headers['content-type'], 'application/json');
            const { error, ...rest } = JSON.parse(text);
            assert.deepEqual(rest, id === undefined ? { jsonrpc: '2.0' } : { jsonrpc: '2.0', id });
            assert.equal(error.code, code);
            assert.deepEqual(error.data, reason && { reason });
            assert.match(error.message, /\w/);
        } else {
            assert.equal(head.headers['content-type'], 'text/plain');
            assert.match(text, /\w.*\n$/);
        }
        if (closes) {
            assert.equal(await connection.rest(), '');
        } else {
            connection.target = '/mcp';
            connection.send('POST', on === 'hosts' ? { host: 'mcp.example' } : {}, rpc('ping', undefined, 'next'));
            assert.equal((await connection.head()).status, 200, 'the connection goes on');
            connection.close();
        }
        assert.equal(echo.seen.length, seen + (closes ? 0 : 1), 'no server has seen it');
        const lines = closes ? 1 : 2;
        const [line] = await until(
            () => logLines().length === logged + lines && logLines().slice(logged),
            'the access log has a line for each'
        );
        assert.equal(line.status, status);
        assert.equal(line.reason, word);
        assert.equal(line.listener, on);
    });

test('a_method_that_is_only_asked_for_its_head_is_answered_with_a_head', async () => {
    const connection = connect('local').send('HEAD');
    assert.equal((await connection.head()).status, 405);
    connection.frame({ kind: 'none' });
    connection.send('POST', {}, body);
    assert.equal((await connection.head()).status, 200);
    connection.close();
});

/* ---- and what must pass ---- */

async function passes(listener, headers, bytes = body) {
    const connection = connect(listener).send('POST', headers, bytes);
    const head = await connection.head();
    assert.equal(head.status, 200, `${JSON.stringify(headers)}: ${await connection.body()}`);
    connection.close();
    return head.headers;
}

test('a_listener_of_this_machine_is_called_by_every_name_of_it', async () => {
    for (const host of ['localhost', 'LocalHost:8080', '127.0.0.1', '127.8.9.1:1', '[::1]', '[::1]:80', 'a.localhost'])
        await passes('local', { host });
});

test('names_on_the_list_are_called_by_any_port_unless_the_list_says_one', async () => {
    for (const host of ['mcp.example', 'MCP.example:1', 'other.example:8443', 'localhost']) await passes('hosts', { host });
    const { 'access-control-allow-origin': allowed } = await passes('hosts', { host: 'mcp.example', origin: 'https://mcp.example' });
    assert.equal(allowed, 'https://mcp.example');
});

test('a_listener_of_all_addresses_is_called_by_any_name', async () => {
    for (const host of ['evil.example', '10.0.0.1:80']) await passes('world', { host });
});

test('a_page_that_may_call_may_read_the_reply', async () => {
    for (const [listener, origin] of [
        ['local', 'http://localhost:3000'],
        ['local', 'http://127.0.0.1'],
        ['pages', 'https://app.example'],
        ['any', 'https://x.example']
    ]) {
        const headers = await passes(listener, { origin });
        assert.equal(headers['access-control-allow-origin'], origin);
        assert.match(headers['access-control-expose-headers'], /Mcp-Session-Id/);
        assert.match(headers.vary, /Origin/);
    }
    assert.equal((await passes('local', {}))['access-control-allow-origin'], undefined);
});

test('a_browser_that_asks_first_is_told_what_a_page_may_send', async () => {
    const fields = {
        origin: 'https://app.example',
        'access-control-request-method': 'POST',
        'access-control-request-headers': 'mcp-method, x-a'
    };
    const connection = connect('pages').send('OPTIONS', fields);
    const { status, headers } = await connection.head();
    assert.equal(status, 204);
    assert.equal(headers['access-control-allow-origin'], 'https://app.example');
    assert.equal(headers['access-control-allow-headers'], 'mcp-method, x-a');
    assert.match(headers['access-control-allow-methods'], /POST/);
    connection.send('OPTIONS', { ...fields, origin: 'https://evil.example' });
    const refused = await connection.head();
    assert.equal(refused.status, 403);
    assert.equal(refused.headers['access-control-allow-origin'], undefined);
    connection.close();
});

test('types_with_parameters_and_in_other_letters_are_json', async () => {
    for (const type of ['application/json; charset=utf-8', 'Application/JSON', 'application/json ;x'])
        await passes('local', { 'content-type': type });
});

test('mirrored_fields_that_say_the_same_pass', async () => {
    await passes('local', modernFields(), modernCall);
    const encoded = `=?base64?${Buffer.from('é\n').toString('base64')}?=`;
    await passes('local', modernFields({ 'Mcp-Name': encoded }), modern('tools/call', { name: 'é\n' }));
    await passes('local', modernFields({ 'Mcp-Name': undefined, 'Mcp-Method': 'tools/list' }), modern('tools/list'));
});
