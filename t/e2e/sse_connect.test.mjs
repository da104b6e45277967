// Servers that speak HTTP with server-sent events as revision 2024-11-05 has it, played by hand: what they may do, and what reaches the
// client when they do something else.
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
import tls from 'node:tls';
import { certificate } from './lib/certificates.mjs';
import { scenesWithServers } from './lib/fake.mjs';
import { until } from './lib/process.mjs';
import { PROTOCOL, rpc } from './lib/raw.mjs';

const folder = mkdtempSync(join(tmpdir(), 'weir-sse-'));
after(() => rmSync(folder, { recursive: true }));
await certificate(folder, 'named', 'DNS:localhost');
const file = name => join(folder, name);

const { scene: anyScene } = scenesWithServers({ modules: ['http', 'sse', 'pool'] });
const scene = (name, play, { upstream, ...options } = {}) =>
    anyScene(name, play, { url: port => `http://127.0.0.1:${port}/mcp/events?key=1`, ...options, upstream: { transport: 'sse', ...upstream } });

const hello = rpc('initialize', { protocolVersion: PROTOCOL, capabilities: {}, clientInfo: { name: 'raw', version: '1' } }, 'hello');
const welcome = { protocolVersion: '2024-11-05', capabilities: {}, serverInfo: { name: 'fake', version: '1' } };
const EVENTS = 'HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\n';

const chunk = text => `${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n`;
const event = (name, data) => chunk(`event: ${name}\ndata: ${data}\n\n`);
const answer = (body, result) => event('message', JSON.stringify({ jsonrpc: '2.0', id: JSON.parse(body).id, result }));

/* A POST arrives and is taken. */
async function take(peer, fields = '') {
    const request = await peer.request();
    assert.equal(request.method, 'POST');
    peer.reply('Accepted', '202 Accepted', `Content-Type: text/plain\r\n${fields}`);
    return request;
}

/* The GET arrives, and is answered by a stream that names an endpoint. */
async function stream(server, endpoint = '/messages?session=1') {
    const peer = await server.next();
    const { method, target, headers } = await peer.request();
    assert.deepEqual([method, target, headers.accept], ['GET', '/mcp/events?key=1', 'text/event-stream']);
    peer.write(`${EVENTS}Transfer-Encoding: chunked\r\n\r\n${event('endpoint', endpoint)}`);
    return peer;
}

/* A session: its event stream, the connection that its POSTs come by, and how its client asks. */
async function begin({ client, server }, endpoint) {
    const connection = client().send('POST', {}, hello);
    const events = await stream(server, endpoint);
    const posts = await server.next();
    const { target, body } = await take(posts);
    events.write(answer(body, welcome));
    const { status, headers } = await connection.head();
    assert.equal(status, 200);
    assert.equal(JSON.parse(await connection.body()).result.serverInfo.name, 'fake');
    const session = { 'mcp-session-id': headers['mcp-session-id'] };
    const ask = (body, on = client()) => on.send('POST', session, body);
    return { events, posts, target, session, connection, ask };
}

async function reply(connection) {
    const head = await connection.head();
    const text = await connection.reply(head);
    return { status: head.status, ...JSON.parse(text) };
}

async function fails(connection, status, reason, why) {
    const { status: got, error } = await reply(connection);
    assert.equal(got, status, JSON.stringify(error));
    assert.equal(error.data.reason, reason);
    assert.match(error.message, why);
}

const ping = id => rpc('ping', undefined, id);

async function isServed({ events, posts, ask }, id = 1) {
    const asked = ask(ping(id));
    const { body } = await take(posts);
    events.write(answer(body, { served: id }));
    assert.deepEqual((await reply(asked)).result, { served: id });
}

/* ---- endpoints ---- */

for (const [what, endpoint, target] of [
    ['a_path', '/messages?session=1', '/messages?session=1'],
    ['a_name_beside_the_stream', 'messages/?s=a%20b', '/mcp/messages/?s=a%20b'],
    ['a_query_alone', '?session=1', '/mcp/events?session=1'],
    ['a_path_with_dots', '../other/./x/../messages', '/other/messages'],
    ['a_fragment_too', '/messages#here', '/messages']
])
    scene(`an_endpoint_may_be_${what}`, async me => {
        const session = await begin(me, endpoint);
        assert.equal(session.target, target);
        await isServed(session);
    });

scene('an_endpoint_may_be_a_whole_url_of_the_same_origin', async me => {
    const session = await begin(me, `HTTP://127.0.0.1:${me.server.port}/messages`);
    assert.equal(session.target, '/messages');
    await isServed(session);
});

for (const endpoint of ['http://127.0.0.1:1/messages', 'http://evil.example/messages', '//evil.example/messages', 'https://127.0.0.1/messages', 'javascript:alert(1)'])
    scene(`an_endpoint_elsewhere_is_refused (${endpoint})`, async ({ client, server }) => {
        const connection = client().send('POST', {}, hello);
        const events = await stream(server, endpoint);
        await fails(connection, 502, 'connect_failed', /leads to another origin than http:\/\/127\.0\.0\.1:\d+/);
        await events.rest();
        assert.ok(server.isUntouched());
    });

scene('an_endpoint_that_cannot_be_sent_is_refused', async ({ client, server }) => {
    const connection = client().send('POST', {}, hello);
    await stream(server, '/messages and more');
    await fails(connection, 502, 'connect_failed', /is no reference to anything/);
});

/* ---- streams ---- */

for (const [what, head, why] of [
    ['404', 'HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n', /HTTP status 404/],
    ['a_redirect', 'HTTP/1.1 302 Found\r\nLocation: /other\r\nContent-Length: 0\r\n\r\n', /HTTP status 302/],
    ['json', 'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}', /no event stream but application\/json/],
    ['nonsense', 'SSH-2.0-OpenSSH\r\n\r\n', /not HTTP\/1\.1/],
    ['a_stream_that_ends', `${EVENTS}Content-Length: 5\r\n\r\n: hi\n`, /ended the event stream/],
    ['broken_chunks', `${EVENTS}Transfer-Encoding: chunked\r\n\r\nzz\r\n`, /chunked coding of its reply is broken/]
])
    scene(`a_server_that_answers_with_${what}_is_no_server`, async ({ client, server }) => {
        const connection = client().send('POST', {}, hello);
        const peer = await server.next();
        await peer.request();
        peer.write(head);
        await fails(connection, 502, 'connect_failed', why);
    });

scene(
    'a_server_that_names_no_endpoint_in_time_is_no_server',
    async ({ client, server }) => {
        const connection = client().send('POST', {}, hello);
        const peer = await server.next();
        await peer.request();
        peer.write(`${EVENTS}\r\n: wait\n\n`);
        await fails(connection, 502, 'connect_failed', /named no endpoint within connect_timeout/);
    },
    { server: { connect_timeout: '50ms' } }
);

scene('a_stream_may_be_cut_anywhere_and_say_other_things_too', async me => {
    const connection = me.client().send('POST', {}, hello);
    const events = await me.server.next();
    await events.request();
    const text = (...lines) => lines.join('\r\n') + '\r\n';
    events.write(`HTTP/1.1 100 Continue\r\n\r\n${EVENTS}\r\n`);
    const put = async bytes => {
        for (const byte of bytes) events.write(byte);
    };
    await put(text(': hello', '', 'event: greeting', 'data: hi', '', 'id: 1', 'retry: 5', 'event: endpoint', 'data: /m', ''));
    const posts = await me.server.next();
    const { body } = await take(posts);
    const { id } = JSON.parse(body);
    await put(text('event:message', `data: {"jsonrpc":"2.0","id":${id},`, 'data:"result":', `data: ${JSON.stringify(welcome)}}`, ''));
    assert.equal((await reply(connection)).result.serverInfo.name, 'fake');
});

scene('a_stream_that_ends_fails_what_is_under_way_and_a_new_session_gets_a_new_one', async me => {
    const { events, posts, ask } = await begin(me);
    const asked = ask(ping('cut'));
    await take(posts);
    events.end();
    await fails(asked, 502, 'server_died', /closed the connection of the event stream|ended the event stream/);
    const again = ask(ping('again'));
    assert.equal((await reply(again)).status, 404);
    await isServed(await begin(me));
});

scene(
    'an_event_beyond_max_message_ends_the_stream',
    async me => {
        const { events, posts, ask } = await begin(me);
        const asked = ask(ping(1));
        await take(posts);
        events.write(event('message', 'x'.repeat(100_000)));
        await fails(asked, 502, 'bad_reply', /larger than max_message/);
    },
    { upstream: { max_message: '4KiB' } }
);

/* ---- POSTs ---- */

for (const status of ['400 Bad Request', '404 Not Found', '413 Content Too Large', '500 Internal Server Error', '307 Temporary Redirect'])
    scene(`a_POST_that_is_refused_with_${status.slice(0, 3)}_fails_only_its_own_call`, async me => {
        const session = await begin(me);
        const kept = session.ask(ping('kept'));
        const { body } = await take(session.posts, 'Connection: close\r\n'); // whichever weir sees first, that or the next request
        const asked = session.ask(ping('refused'));
        const posts = await me.server.next();
        const request = await posts.request();
        assert.equal(JSON.parse(request.body).method, 'ping');
        posts.reply('no', status, 'Content-Type: text/plain\r\n');
        await fails(asked, 502, 'bad_reply', new RegExp(`refused the message with HTTP status ${status.slice(0, 3)}`));
        session.events.write(answer(body, { kept: true }));
        assert.deepEqual((await reply(kept)).result, { kept: true });
        const next = session.ask(ping('next'));
        const { body: last } = await take(await me.server.next());
        session.events.write(answer(last, {}));
        assert.deepEqual((await reply(next)).result, {});
    });

scene('a_server_that_takes_a_request_only_when_it_is_done_is_answered_meanwhile', async me => {
    const { events, posts, ask } = await begin(me);
    const asked = ask(rpc('tools/call', { name: 'ask' }, 'asks'));
    const { body } = await posts.request(); // and no reply yet
    events.write(event('message', rpc('elicitation/create', { message: 'who?', requestedSchema: {} }, 'question')));
    const head = await asked.head();
    const question = JSON.parse((await asked.event()).data);
    assert.equal(question.method, 'elicitation/create');
    ask(JSON.stringify({ jsonrpc: '2.0', id: question.id, result: { action: 'decline' } }));
    const other = await me.server.next();
    assert.deepEqual(JSON.parse((await take(other)).body).result, { action: 'decline' });
    events.write(answer(body, { content: [] }));
    posts.reply('', '200 OK', '');
    assert.deepEqual(JSON.parse(await asked.reply(head)).result, { content: [] });
});

scene('what_comes_behind_a_notification_waits_until_it_is_taken', async me => {
    const { events, posts, ask } = await begin(me);
    const ready = ask(rpc('notifications/initialized'));
    const { body: first } = await posts.request();
    assert.equal(JSON.parse(first).method, 'notifications/initialized');
    assert.equal((await ready.head()).status, 202);
    const asked = ask(ping('behind'));
    await until(() => me.server.isUntouched(), 'no other connection is made');
    posts.reply('', '202 Accepted', '');
    const { body } = await take(posts);
    assert.equal(JSON.parse(body).method, 'ping');
    events.write(answer(body, {}));
    assert.deepEqual((await reply(asked)).result, {});
});

scene(
    'requests_wait_when_as_many_as_max_posts_are_not_taken_yet',
    async me => {
        const { events, posts, ask } = await begin(me);
        const asked = ['one', 'two', 'three'].map(id => ask(ping(id)));
        const first = await posts.request();
        const other = await me.server.next();
        const second = await other.request();
        assert.ok(me.server.isUntouched());
        posts.reply('', '202 Accepted', '');
        const third = await posts.request();
        for (const peer of [other, posts]) peer.reply('', '202 Accepted', '');
        for (const { body } of [first, second, third]) events.write(answer(body, {}));
        for (const connection of asked) {
            const { result, error } = await reply(connection);
            assert.deepEqual(result, {}, JSON.stringify(error));
        }
    },
    { upstream: { max_posts: 2 } }
);

scene('a_kept_connection_that_the_server_has_closed_costs_no_message', async me => {
    const { events, posts, ask } = await begin(me);
    posts.end();
    await posts.rest();
    const asked = ask(ping(1));
    const { body } = await take(await me.server.next());
    events.write(answer(body, {}));
    assert.deepEqual((await reply(asked)).result, {});
});

scene('a_connection_that_ends_without_a_reply_fails_its_call_and_no_other', async me => {
    const { events, posts, ask } = await begin(me);
    const asked = ask(ping(1));
    await posts.request();
    posts.end();
    await fails(asked, 502, 'server_died', /closed the connection without a reply to a POST/);
    const next = ask(ping(2));
    const { body } = await take(await me.server.next());
    events.write(answer(body, {}));
    assert.deepEqual((await reply(next)).result, {});
});

scene('a_reply_to_a_POST_that_closes_is_followed_by_a_new_connection', async me => {
    const { events, posts, ask } = await begin(me);
    for (const id of [1, 2, 3]) {
        const asked = ask(ping(id));
        const peer = id === 1 ? posts : await me.server.next();
        const { body } = await peer.request();
        peer.write('HTTP/1.1 202 Accepted\r\nConnection: close\r\n\r\nAccepted');
        peer.end();
        events.write(answer(body, { id }));
        assert.deepEqual((await reply(asked)).result, { id });
    }
});

scene(
    'a_POST_that_is_never_answered_ends_with_its_call',
    async me => {
        const { posts, ask } = await begin(me);
        const asked = ask(ping('lost'));
        await posts.request();
        await fails(asked, 504, 'timeout', /./);
        const cancelled = await (await me.server.next()).request();
        assert.equal(JSON.parse(cancelled.body).method, 'notifications/cancelled');
    },
    { upstream: { reply_timeout: '300ms' } }
);

scene(
    'everything_goes_over_TLS_when_the_url_says_so',
    async me => {
        await isServed(await begin(me));
    },
    {
        fake: () => tls.createServer({ cert: readFileSync(file('named.pem')), key: readFileSync(file('named.key')) }),
        url: port => `https://localhost:${port}/mcp/events?key=1`,
        server: { ca: file('named.pem') }
    }
);

scene(
    'a_certificate_that_is_not_trusted_is_refused',
    async ({ client }) => {
        const connection = client().send('POST', {}, hello);
        await fails(connection, 502, 'connect_failed', /certificate/);
    },
    {
        fake: () => tls.createServer({ cert: readFileSync(file('named.pem')), key: readFileSync(file('named.key')) }),
        url: port => `https://localhost:${port}/mcp/events?key=1`
    }
);
