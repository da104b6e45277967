// HTTP with server-sent events as clients of revision 2024-11-05 arrive: a stream that names an endpoint, and what is posted there, at
// whichever worker.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { SSEClientTransport } from '@modelcontextprotocol/sdk/client/sse.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { descendants, look, until } from './lib/process.mjs';
import { Connection, PROTOCOL, rpc } from './lib/raw.mjs';
import { startWeir } from './lib/weir.mjs';
import { WireTransport, ws } from './lib/wires.mjs';
import { demo } from './lib/world.mjs';

const WORKERS = 3;
const alone = { transport: 'sse', listen: '127.0.0.1:0', routes: [{ path: '/sse', upstream: 'demo' }] };
const shared = { ...alone, transport: ['http', 'sse', 'ws'], routes: ['/sse', '/mcp'].map(path => ({ path, upstream: 'demo' })) };
const text = (workers = WORKERS) =>
    JSON.stringify({
        workers,
        log: { level: 'info', file: 'stderr' },
        modules: ['http', 'sse', 'ws', 'stdio', 'pool'],
        listeners: {
            alone,
            shared,
            last: { ...shared, transport: ['sse', 'http'] },
            small: { ...alone, max_head: '1KiB', max_message: '1KiB', max_exchanges: 1, heartbeat: '20ms' },
            few: { ...alone, max_streams: 1 },
            pages: { ...alone, allowed_origins: ['https://app.example'] }
        },
        upstreams: { demo: { transport: 'stdio', command: demo.stdio, chain: ['pool'] } }
    });

let weir;
before(async () => (weir = await startWeir(text())));
after(() => weir?.stop());

const open = (listener, target = '/sse', house = weir) => new Connection(house.url(listener, target));
const events = { accept: 'text/event-stream' };
const hello = rpc('initialize', { protocolVersion: PROTOCOL, capabilities: { elicitation: {} }, clientInfo: { name: 'raw', version: '1' } }, 'hello');

/* An event stream, with its endpoint, and `post(body, headers, connection)`: the head of the answer, and its text. */
async function listen(listener, { headers = {}, house = weir } = {}) {
    const stream = open(listener, '/sse', house).send('GET', { ...events, ...headers });
    const head = await stream.head();
    assert.equal(head.status, 200);
    const first = await stream.event();
    assert.equal(first.event, 'endpoint');
    const endpoint = first.data;
    const post = async (body, more = {}, connection = open(listener, endpoint, house)) => {
        connection.target = endpoint;
        const reply = await connection.send('POST', { accept: undefined, ...headers, ...more }, body).head();
        return { ...reply, text: await connection.body() };
    };
    /* The message that carries an id; others before it are read over. */
    const answer = async id => {
        for (let event; (event = await stream.event()) !== null; ) {
            if (event.data === '') continue;
            assert.equal(event.event, 'message');
            const message = JSON.parse(event.data);
            if (message.id === id && !message.method) return message;
        }
        throw new Error(`the stream ended before the answer to ${id}`);
    };
    return { stream, head, endpoint, post, answer };
}

async function initialized(listener, options) {
    const me = await listen(listener, options);
    assert.equal((await me.post(hello)).status, 202);
    assert.equal((await me.answer('hello')).result.serverInfo.name, 'weir-demo');
    assert.equal((await me.post(rpc('notifications/initialized'))).status, 202);
    return me;
}

const echo = (message, id) => rpc('tools/call', { name: 'echo', arguments: { message } }, id);

/* A connection that each worker has accepted: an endpoint that nobody has is refused, and the log says by whom. A worker that
 * drains says that it closes, and a connection that closes is none to go on with. */
async function connectionsToAll(listener, house = weir) {
    const all = new Map();
    const refusals = () => [...house.stderr().matchAll(/\[worker\/(\d+) \d+\] \w+: \S+ got 404 session_not_found/g)];
    while (all.size < WORKERS) {
        const before = refusals().length;
        const connection = open(listener, '/sse?sse_session=none', house).send('POST', {}, rpc('ping', undefined, 1));
        const { status, headers } = await connection.head();
        assert.equal(status, 404);
        await connection.body();
        await until(() => refusals().length > before, 'the refusal is in the log');
        const worker = refusals().at(-1)[1];
        if (all.has(worker) || headers.connection === 'close') connection.close();
        else all.set(worker, connection);
    }
    return all;
}

test('sse: a_stream_begins_with_an_endpoint_that_is_new_each_time', async () => {
    const [one, two] = await Promise.all([listen('alone'), listen('alone')]);
    assert.equal(one.head.headers['content-type'], 'text/event-stream');
    assert.equal(one.head.headers['cache-control'], 'no-cache');
    assert.match(one.endpoint, /^\/sse\?sse_session=[0-9a-f]{52}$/);
    assert.notEqual(one.endpoint.slice(-32), two.endpoint.slice(-32));
    one.stream.close();
    two.stream.close();
});

test('sse: a_message_is_taken_by_every_worker_and_answered_on_the_stream', async () => {
    const me = await initialized('shared');
    for (const [worker, connection] of await connectionsToAll('shared')) {
        const taken = await me.post(echo(`by way of ${worker}`, worker), {}, connection);
        assert.equal(taken.status, 202);
        assert.equal(taken.text, 'Accepted');
        assert.match((await me.answer(worker)).result.content[0].text, new RegExp(`by way of ${worker}`));
        connection.close();
    }
    me.stream.close();
});

test('sse: a_large_message_reaches_a_stream_of_another_worker_whole', async () => {
    const me = await initialized('shared');
    const message = 'ü'.repeat(1 << 20);
    for (const [worker, connection] of await connectionsToAll('shared')) {
        assert.equal((await me.post(echo(message, worker), {}, connection)).status, 202);
        assert.equal((await me.answer(worker)).result.content[0].text, message);
        connection.close();
    }
    me.stream.close();
});

test('sse: when_the_stream_ends_its_session_ends_and_its_endpoint_is_unknown_to_every_worker', async () => {
    const me = await initialized('shared');
    const ended = () => weir.stderr().match(/demo\/\d+\[\d+\] exited with status 0/g)?.length ?? 0;
    const before = ended();
    me.stream.close();
    await until(() => ended() > before, 'the child of the session has ended');
    for (const [, connection] of await connectionsToAll('shared')) {
        const refused = await me.post(rpc('ping', undefined, 'p'), {}, connection);
        assert.equal(refused.status, 404);
        const { id, error } = JSON.parse(refused.text);
        assert.equal(id, 'p');
        assert.equal(error.data.reason, 'session_not_found');
        assert.match(error.message, /no event stream belongs to this endpoint.*open it again by GET/);
        connection.close();
    }
});

test('sse: an_endpoint_is_only_for_the_listener_and_the_credentials_that_it_was_opened_with', async () => {
    const me = await initialized('shared', { headers: { authorization: 'Bearer mine' } });
    for (const [, connection] of await connectionsToAll('shared')) {
        assert.equal((await me.post(rpc('ping', undefined, 1), { authorization: 'Bearer other' }, connection)).status, 404);
        assert.equal((await me.post(rpc('ping', undefined, 2), { authorization: undefined }, connection)).status, 404);
        assert.equal((await me.post(rpc('ping', undefined, 3), {}, connection)).status, 202);
        assert.deepEqual((await me.answer(3)).result, {});
        connection.close();
    }
    assert.equal((await me.post(rpc('ping', undefined, 4), {}, open('alone'))).status, 404);
    me.stream.close();
});

test('sse: an_address_that_is_nearly_right_is_unknown', async () => {
    const me = await initialized('shared');
    const flipped = at => me.endpoint.replace(/[0-9a-f]{52}$/, text => text.slice(0, at) + (parseInt(text[at], 16) ^ 1).toString(16) + text.slice(at + 1));
    for (const [, connection] of await connectionsToAll('shared')) {
        for (const at of [1, 5, 13, 20, 51]) {
            connection.target = flipped(at);
            assert.equal((await connection.send('POST', {}, rpc('ping', undefined, 1)).head()).status, 404, `digit ${at}`);
            await connection.body();
        }
        assert.equal((await me.post(rpc('ping', undefined, 2), {}, connection)).status, 202);
        connection.close();
    }
    me.stream.close();
});

test('sse: posts_follow_each_other_on_one_connection_also_when_they_come_at_once', async () => {
    const me = await initialized('small'); // max_exchanges: 1
    const one = open('small', me.endpoint);
    const ids = [...Array(10).keys()];
    const posts = ids.map(id => {
        const body = rpc('ping', undefined, id);
        return `POST ${me.endpoint} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
    });
    one.write(posts.join(''));
    for (const id of ids) {
        assert.equal((await one.head()).status, 202, `post ${id}`);
        assert.equal(await one.body(), 'Accepted');
    }
    for (const id of ids) assert.deepEqual(await me.answer(id), { jsonrpc: '2.0', id, result: {} });
    one.close();
    me.stream.close();
});

test('sse: a_client_that_sends_more_than_may_wait_is_told_to_come_later', async () => {
    const me = await initialized('small');
    assert.equal((await me.post(rpc('tools/call', { name: 'ask_name' }, 'asks'))).status, 202);
    const padded = id => rpc('ping', { _meta: { pad: 'x'.repeat(600) } }, id);
    assert.equal((await me.post(padded(1))).status, 202);
    const refused = await me.post(padded(2));
    assert.equal(refused.status, 503);
    assert.equal(refused.headers['retry-after'], '1');
    assert.equal(JSON.parse(refused.text).error.data.reason, 'pool_full');
    me.stream.close();
});

test('sse: streams_are_bounded_and_a_place_is_free_again_when_one_ends', async () => {
    const streams = [];
    await until(async () => {
        const stream = open('few').send('GET', events);
        streams.push(stream);
        const { status, headers } = await stream.head();
        assert.ok(status === 200 || (status === 503 && headers['retry-after'] === '1'));
        return status === 503;
    }, 'a worker has as many streams as it may');
    streams.forEach(stream => stream.close());
    await until(async () => {
        const stream = open('few').send('GET', events);
        const { status } = await stream.head();
        stream.close();
        return status === 200;
    }, 'there is a place');
});

test('sse: a_silent_stream_gets_comments', async () => {
    const { stream } = await listen('small');
    for (let i = 0; i < 3; i++) assert.equal((await stream.piece()).toString(), ':\n\n');
    stream.close();
});

test('sse: to_HTTP_1_0_the_stream_is_not_chunked', async () => {
    const stream = open('alone');
    stream.write('GET /sse HTTP/1.0\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n');
    const { headers } = await stream.head();
    assert.equal(headers['transfer-encoding'], undefined);
    assert.equal(headers.connection, 'close');
    assert.match((await stream.piece()).toString(), /^event: endpoint\ndata: \/sse\?sse_session=[0-9a-f]+\n\n$/);
    stream.close();
});

const ping = rpc('ping', undefined, 1);
const long = JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'ping', params: { pad: 'x'.repeat(2000) } });

/* what: [listener, method, headers, body, status, what it says]. `null` as a target stands for the endpoint of a stream. */
const refusals = {
    a_body_that_is_too_large: ['small', 'POST', {}, long, 413, /larger than max_message \(1024\)/],
    a_body_that_is_no_JSON: ['alone', 'POST', {}, '{', 400, /-32700.*not valid JSON/],
    a_body_that_is_no_message: ['alone', 'POST', {}, '{}', 400, /-32600.*not a JSON-RPC 2.0 message/],
    an_empty_body: ['alone', 'POST', {}, '', 400, /-32700/],
    a_body_of_another_type: ['alone', 'POST', { 'content-type': 'text/plain' }, ping, 415, /must be application\/json/],
    a_head_that_is_too_large: ['small', 'POST', { pad: 'x'.repeat(2000) }, ping, 431, /max_head/],
    a_body_that_is_packed: ['alone', 'POST', { 'content-encoding': 'gzip' }, ping, 415, /without Content-Encoding/],
    a_page_of_another_origin: ['alone', 'POST', { origin: 'https://evil.example' }, ping, 403, /Origin "https:\/\/evil.example" is not allowed/],
    a_name_of_another_host: ['alone', 'POST', { host: 'evil.example' }, ping, 403, /Host "evil.example" is not allowed/],
    a_method_of_neither: ['alone', 'PUT', {}, ping, 405, /method PUT is not one of GET, POST/]
};
for (const [what, [listener, method, headers, body, status, says]] of Object.entries(refusals))
    test(`sse: refused: ${what}`, async () => {
        const me = await listen(listener);
        const connection = open(listener, me.endpoint).send(method, headers, body);
        const head = await connection.head();
        assert.equal(head.status, status);
        assert.match(await connection.body(), says);
        connection.close();
        me.stream.close();
    });

for (const [what, target, headers, status] of [
    ['of_another_origin', '/sse', { origin: 'https://evil.example' }, 403],
    ['of_another_host', '/sse', { host: 'evil.example:80' }, 403],
    ['where_no_route_leads', '/elsewhere', {}, 404]
])
    test(`sse: a_stream_${what}_is_refused`, async () => {
        const stream = open('alone', target).send('GET', { ...events, ...headers });
        assert.equal((await stream.head()).status, status);
        stream.close();
    });

/* A request whose body comes in chunks, one of them in two reads. */
async function postChunked(listener, endpoint, chunks) {
    const connection = open(listener, endpoint);
    connection.write(`POST ${endpoint} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n`);
    assert.equal((await connection.head()).status, 100);
    for (const chunk of chunks) connection.write(`${chunk.length.toString(16)}\r\n${chunk}\r\n`);
    connection.write('0\r\n\r\n');
    const { status } = await connection.head();
    const text = await connection.body();
    connection.close();
    return { status, text };
}

test('sse: a_body_in_chunks_is_one_message', async () => {
    const me = await initialized('alone');
    const body = echo('y'.repeat(100_000), 'chunks');
    assert.equal((await postChunked('alone', me.endpoint, body.match(/.{1,7777}/g))).status, 202);
    assert.match((await me.answer('chunks')).result.content[0].text, /y{100000}/);
    me.stream.close();
});

test('sse: refused: chunks_that_are_too_much_together', async () => {
    const me = await listen('small');
    const { status, text } = await postChunked('small', me.endpoint, long.match(/.{1,500}/g));
    assert.equal(status, 413);
    assert.match(text, /larger than max_message/);
    me.stream.close();
});

test('sse: a_post_without_an_endpoint_is_told_how_it_begins', async () => {
    const connection = open('alone').send('POST', {}, ping);
    assert.equal((await connection.head()).status, 404);
    assert.match(await connection.body(), /open the event stream by GET/);
    connection.close();
});

test('sse: a_page_of_an_allowed_origin_may_ask_listen_and_post', async () => {
    const headers = { origin: 'https://app.example' };
    const { stream, head, endpoint, post } = await listen('pages', { headers });
    assert.equal(head.headers['access-control-allow-origin'], headers.origin);
    const asks = open('pages', endpoint).send('OPTIONS', { ...headers, 'access-control-request-method': 'POST', 'access-control-request-headers': 'content-type' });
    const allowed = await asks.head();
    assert.equal(allowed.status, 204);
    assert.match(allowed.headers['access-control-allow-methods'], /POST/);
    assert.equal(allowed.headers['access-control-allow-headers'], 'content-type');
    assert.equal((await post(ping, {}, asks)).headers['access-control-allow-origin'], headers.origin);
    asks.close();
    stream.close();
});

for (const listener of ['shared', 'last'])
    test(`sse: http_and_ws_clients_come_by_the_same_port (${listener})`, async () => {
        const transports = [
            new SSEClientTransport(new URL(weir.url(listener, '/sse'))),
            new StreamableHTTPClientTransport(new URL(weir.url(listener, '/mcp'))),
            ...(listener === 'shared' ? [new WireTransport(ws.connect(weir.port(listener)))] : [])
        ];
        for (const transport of transports) {
            const client = new Client({ name: 'three', version: '1' });
            await client.connect(transport);
            const { content } = await client.callTool({ name: 'echo', arguments: { message: 'shared' } });
            assert.match(content[0].text, /shared/);
            await client.close();
        }
    });

test('sse: requests_of_both_kinds_follow_each_other_on_one_connection', async () => {
    const me = await initialized('shared');
    const one = open('shared');
    for (let i = 0; i < 3; i++) {
        assert.equal((await me.post(rpc('ping', undefined, i), {}, one)).status, 202);
        assert.deepEqual((await me.answer(i)).result, {});
        one.target = '/mcp';
        assert.equal((await one.send('POST', {}, hello).head()).status, 200);
        assert.match(await one.body(), /"weir-demo"/);
    }
    one.close();
    me.stream.close();
});

test('sse: a_stream_outlives_a_reload_and_messages_find_it_in_the_worker_of_before', async () => {
    const house = await startWeir(text());
    try {
        const me = await initialized('shared', { house });
        const before = new Set(descendants(house.pid).map(({ pid }) => pid));
        process.kill(house.pid, 'SIGHUP');
        await until(() => /ready: .*\(configuration 2\)/.test(house.stderr()), 'the new workers serve');
        const fresh = descendants(house.pid).filter(({ pid, command }) => !before.has(pid) && command.startsWith('weir: worker/'));
        assert.equal(fresh.length, WORKERS);
        for (const [worker, connection] of await connectionsToAll('shared', house)) {
            assert.equal((await me.post(echo(`past a reload by ${worker}`, worker), {}, connection)).status, 202);
            assert.match((await me.answer(worker)).result.content[0].text, /past a reload/);
            connection.close();
        }
        me.stream.close();
    } finally {
        await house.stop();
    }
});

test('sse: a_worker_that_is_killed_takes_only_its_own_streams_with_it', async () => {
    const house = await startWeir(text());
    try {
        const streams = new Map();
        while (streams.size < WORKERS) {
            const me = await listen('shared', { house });
            const worker = Number(`0x${me.endpoint.match(/=(..)/)[1]}`);
            if (streams.has(worker)) me.stream.close();
            else streams.set(worker, me);
        }
        for (const me of streams.values()) {
            assert.equal((await me.post(hello)).status, 202);
            await me.answer('hello');
        }
        const victim = descendants(house.pid).find(({ command }) => command.startsWith('weir: worker/0'));
        process.kill(victim.pid, 'SIGKILL');
        await streams.get(0).stream.rest();
        await until(() => house.stderr().match(/worker\/0 started/g).length === 2, 'it is started again');
        for (const [worker, me] of streams) {
            const reply = await me.post(ping);
            assert.equal(reply.status, worker === 0 ? 404 : 202, reply.text);
            if (worker !== 0) assert.deepEqual((await me.answer(1)).result, {});
            me.stream.close();
        }
    } finally {
        await house.stop();
    }
});

/* A message that is on its way to a stream at another worker, while `stopped` (a process of the house) does not run. */
async function onItsWay(house, stopped) {
    const me = await initialized('shared', { house });
    const owner = parseInt(me.endpoint.match(/=(..)/)[1], 16);
    const all = await connectionsToAll('shared', house);
    const [, other] = [...all].find(([worker]) => Number(worker) !== owner);
    const victim = descendants(house.pid).find(({ command }) => command.startsWith(`weir: ${stopped(owner)}`));
    process.kill(victim.pid, 'SIGSTOP');
    await until(() => look(victim.pid).state === 'T', 'it does not run');
    const posted = me.post(rpc('ping', undefined, 'on its way'), {}, other);
    process.kill(victim.pid, 'SIGKILL');
    return posted;
}

for (const [who, stopped, status, reason] of [
    ['the_worker_that_holds_the_stream', owner => `worker/${owner}`, 404, 'session_not_found'],
    ['the_keeper_on_the_way', () => 'keeper/0', 502, 'server_died']
])
    test(`sse: a_message_on_its_way_is_told_about_when_${who}_dies`, async () => {
        const house = await startWeir(text());
        try {
            const reply = await onItsWay(house, stopped);
            assert.equal(reply.status, status, reply.text);
            const { id, error } = JSON.parse(reply.text);
            assert.equal(id, 'on its way');
            assert.equal(error.data.reason, reason);
        } finally {
            await house.stop();
        }
    });

test('sse: a_stream_ends_well_when_weir_stops', async () => {
    const house = await startWeir(text(1));
    const { stream } = await listen('alone', { house });
    await house.stop();
    assert.equal(await stream.event(), null);
});
