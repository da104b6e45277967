// JSON-RPC batches, which revision 2025-03-26 has: an array of messages is answered as one, and each of them is served by itself.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { WebSocket } from 'ws';
import { answerTo, scenesWithServers } from './lib/fake.mjs';
import { Connection, request, rpc } from './lib/raw.mjs';
import { binary, repo, startWeir } from './lib/weir.mjs';
import { stdio } from './lib/wires.mjs';
import { demo } from './lib/world.mjs';

const REVISION = '2025-03-26';
const { scene } = scenesWithServers({ modules: ['http', 'tcp', 'pool'] }, { max_batch: 5 });

const hello = (revision = REVISION) => rpc('initialize', { protocolVersion: revision, capabilities: {}, clientInfo: { name: 'x', version: '1' } }, 'hello');
const ping = id => rpc('ping', undefined, id);
const note = rpc('notifications/progress', { progressToken: 1, progress: 1 });
const batch = (...messages) => `[${messages.join(' , ')}]`;
const byId = answers => Object.fromEntries(answers.map(each => [JSON.stringify(each.id), each]));

/* ---- over HTTP, to a server of HTTP ---- */

scene('each_message_goes_to_the_server_by_itself_and_the_answers_come_back_as_one_array', async ({ client, server }) => {
    const ids = [1, -7, 1.5, 'a', '', '\u00fc', 9007199254740991];
    for (const some of [ids.slice(0, 4), ids.slice(4)]) {
        const connection = client().send('POST', {}, batch(...some.map(ping)));
        const seen = [];
        for (let i = 0; i < some.length; i++) {
            const peer = await server.next(); // in any order: each comes by a connection of its own
            const { body } = await peer.request();
            seen.push(body);
            peer.reply(answerTo(body, { n: some.indexOf(JSON.parse(body).id) }), '200 OK', 'Content-Type: application/json\r\nConnection: close\r\n');
            peer.end();
        }
        assert.deepEqual(seen.sort(), some.map(ping).sort());
        const { status, headers } = await connection.head();
        assert.equal(status, 200);
        assert.match(headers['content-type'], /^application\/json/);
        const answers = byId(JSON.parse(await connection.body()));
        some.forEach((id, n) => assert.deepEqual(answers[JSON.stringify(id)], { jsonrpc: '2.0', id, result: { n } }));
        assert.equal(Object.keys(answers).length, some.length);
        connection.close();
    }
});

scene('one_that_fails_fails_alone', async ({ client, server }) => {
    const connection = client().send('POST', {}, batch(ping(1), ping(2)));
    const peers = [await server.next(), await server.next()];
    for (const peer of peers) {
        const { body } = await peer.request();
        if (JSON.parse(body).id === 1) peer.close();
        else peer.reply(answerTo(body));
    }
    assert.equal((await connection.head()).status, 200);
    const answers = byId(JSON.parse(await connection.body()));
    assert.equal(answers[1].error.data.reason, 'server_died');
    assert.deepEqual(answers[2].result, {});
    connection.close();
});

scene('two_with_the_same_id_are_two', async ({ client, server }) => {
    const connection = client().send('POST', {}, batch(ping('x'), ping('x')));
    for (const n of [1, 2]) {
        const peer = await server.next();
        peer.reply(answerTo((await peer.request()).body, { n }), '200 OK', 'Content-Type: application/json\r\nConnection: close\r\n');
        peer.end();
    }
    const answers = JSON.parse(await (await connection.head(), connection.body()));
    assert.deepEqual(answers.map(({ id, result }) => [id, result.n]).sort(), [['x', 1], ['x', 2]]);
    connection.close();
});

scene('what_comes_before_an_answer_makes_it_a_stream_of_events', async ({ client, server }) => {
    const connection = client().send('POST', {}, batch(ping(1), ping(2), ping(3)));
    const peers = {};
    for (let i = 0; i < 3; i++) {
        const peer = await server.next();
        peers[JSON.parse((await peer.request()).body).id] = peer;
    }
    const chunk = text => `${text.length.toString(16)}\r\n${text}\r\n`;
    peers[1].reply(answerTo(ping(1)));
    peers[2].write(`HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n${chunk(`data: ${note}\n\n`)}`);
    const { headers } = await connection.head();
    assert.match(headers['content-type'], /^text\/event-stream/);
    assert.equal((await connection.event()).data, note);
    peers[2].write(`${chunk(`data: ${answerTo(ping(2))}\n\n`)}0\r\n\r\n`);
    const seen = [];
    const take = async () => seen.push(...[JSON.parse((await connection.event()).data)].flat());
    while (seen.length < 2) await take();
    peers[3].reply(answerTo(ping(3)));
    await take();
    assert.deepEqual(seen.map(({ id }) => id).sort(), [1, 2, 3]);
    assert.equal(await connection.event(), null, 'the stream ends with the last answer');
    connection.close();
});

scene('what_asks_nothing_is_accepted', async ({ client, server }) => {
    const answer = '{"jsonrpc":"2.0","id":4,"result":{}}';
    for (const messages of [[note, note], [answer, answer], [note, answer]]) {
        const connection = client().send('POST', {}, batch(...messages));
        const seen = [];
        for (const _ of messages) {
            const peer = await server.next();
            seen.push((await peer.request()).body);
            peer.reply('', '202 Accepted', 'Connection: close\r\n');
            peer.end();
        }
        assert.deepEqual(seen.sort(), [...messages].sort());
        assert.equal((await connection.head()).status, 202);
        assert.equal(await connection.body(), '');
        connection.close();
    }
});

scene('a_client_that_leaves_leaves_all_of_them', async ({ client, server }) => {
    const connection = client().send('POST', {}, batch(ping(1), ping(2)));
    const peers = [await server.next(), await server.next()];
    for (const peer of peers) await peer.request();
    connection.close();
    for (const peer of peers) await peer.rest();
});

scene('a_session_that_the_server_has_forgotten_is_gone_for_all_of_them', async ({ client, server }) => {
    const connection = client();
    const next = async (reply, ...more) => {
        const peer = await server.next();
        const { body } = await peer.request();
        peer.reply(reply(body), ...more);
        peer.end();
    };
    connection.send('POST', {}, hello());
    const json = 'Content-Type: application/json\r\nConnection: close\r\n';
    await next(body => answerTo(body, { protocolVersion: REVISION }), '200 OK', `${json}Mcp-Session-Id: s\r\n`);
    const session = { 'mcp-session-id': (await connection.head()).headers['mcp-session-id'] };
    await connection.body();
    connection.send('POST', session, batch(ping(1), ping(2)));
    await next(() => '', '404 Not Found', 'Connection: close\r\n');
    assert.equal((await connection.head()).status, 404, 'the client has to hear that it must initialize again');
    connection.close();
});

scene('a_request_that_follows_waits_for_the_batch', async ({ client, server }) => {
    const connection = client();
    connection.send('POST', {}, batch(ping(1), note));
    connection.send('POST', {}, ping(2));
    for (const _ of [1, 2]) {
        const peer = await server.next();
        const { body } = await peer.request();
        if (body === note) peer.reply('', '202 Accepted', 'Connection: close\r\n');
        else peer.reply(answerTo(body), '200 OK', 'Content-Type: application/json\r\nConnection: close\r\n');
        peer.end();
    }
    assert.equal((await connection.head()).status, 200);
    assert.equal(JSON.parse(await connection.body())[0].id, 1);
    const peer = await server.next();
    assert.equal((await peer.request()).body, ping(2));
    connection.close();
});

const none = { error: -32600, id: null };
const refusals = {
    'an empty one': ['[]', /an empty batch/],
    'an empty one with spaces': [' [ ] ', /an empty batch/],
    'one of too many': [batch(...[1, 2, 3, 4, 5, 6].map(ping)), /6 messages is larger than max_batch \(5\)/],
    'one of revision 2025-06-18': [batch(ping(1)), /of revision 2025-03-26 alone, and this is 2025-06-18/, '2025-06-18'],
    'one of revision 2024-11-05': [batch(ping(1)), /this is 2024-11-05/, '2024-11-05'],
    'one of the modern era': [batch(ping(1)), /this is 2026-07-28/, '2026-07-28']
};
for (const [name, [body, why, revision]] of Object.entries(refusals))
    scene(`${name} is refused as a whole`, async ({ client, server }) => {
        const connection = client().send('POST', { 'mcp-protocol-version': revision }, body);
        assert.equal((await connection.head()).status, 400);
        const { id, error } = JSON.parse(await connection.body());
        assert.deepEqual({ error: error.code, id: id ?? null }, none);
        assert.match(error.message, why);
        assert.ok(server.isUntouched());
        connection.close();
    });

scene('what_is_no_message_gets_an_error_of_its_own', async ({ client, server }) => {
    const wrong = ['1', 'null', '"x"', `[${ping(9)}]`, rpc('initialize', { protocolVersion: REVISION }, 'init')];
    const connection = client().send('POST', { 'mcp-protocol-version': REVISION }, batch(...wrong));
    assert.equal((await connection.head()).status, 200);
    const answers = JSON.parse(await connection.body());
    assert.deepEqual(
        answers.map(({ id, error }) => [id, error.code]),
        [...Array(4).fill([null, -32600]), ['init', -32600]]
    );
    assert.match(answers[3].error.message, /no other batch/);
    assert.match(answers[4].error.message, /initialize must not be part of a batch/);
    assert.ok(server.isUntouched());
    connection.send('POST', {}, batch('{}', ping(1)));
    const peer = await server.next();
    peer.reply(answerTo((await peer.request()).body));
    await connection.head();
    assert.deepEqual(Object.keys(byId(JSON.parse(await connection.body()))).sort(), ['1', 'null']);
    connection.close();
});

scene('an_array_that_breaks_off_is_no_json', async ({ client, server }) => {
    for (const body of [`[${ping(1)}`, `[${ping(1)},]`, `[${ping(1)} ${ping(2)}]`]) {
        const connection = client().send('POST', {}, body);
        assert.equal((await connection.head()).status, 400);
        assert.equal(JSON.parse(await connection.body()).error.code, -32700);
        connection.close();
    }
    assert.ok(server.isUntouched());
});

/* ---- sessions of a child, from every kind of client ---- */

const upstreams = { demo: { transport: 'stdio', command: demo.stdio, chain: ['pool'] } };
let weir;
before(async () => {
    const routes = [{ path: '/', upstream: 'demo' }];
    const at = transport => ({ transport, listen: '127.0.0.1:0', routes });
    const listeners = { http: at('http'), ws: at('ws'), tcp: at('tcp'), sse: at('sse') };
    weir = await startWeir(JSON.stringify({ workers: 1, modules: ['http', 'sse', 'ws', 'tcp', 'stdio', 'pool'], listeners, upstreams }));
});
after(() => weir?.stop());

const echo = (id, message) => rpc('tools/call', { name: 'echo', arguments: { message } }, id);

/* A client of messages: say(text), next() is the next one that came. */
function wired(open) {
    const came = [];
    let wake;
    const heard = text => {
        came.push(JSON.parse(text));
        wake?.();
    };
    const next = async () => {
        while (came.length === 0) await new Promise(resolve => (wake = resolve));
        return came.shift();
    };
    return open(heard, next);
}

const clients = {
    tcp: () =>
        wired((heard, next) => {
            const socket = net.connect(weir.port('tcp'), '127.0.0.1');
            let rest = '';
            socket.on('data', bytes => {
                const lines = (rest + bytes).split('\n');
                rest = lines.pop();
                lines.forEach(heard);
            });
            return { say: text => socket.write(`${text}\n`), next, close: () => socket.destroy() };
        }),
    ws: () =>
        wired((heard, next) => {
            const socket = new WebSocket(`ws://127.0.0.1:${weir.port('ws')}/`, 'mcp');
            const isOpen = new Promise(resolve => socket.on('open', resolve));
            socket.on('message', bytes => heard(bytes.toString()));
            return { say: async text => (await isOpen, socket.send(text)), next, close: () => socket.terminate() };
        }),
    sse: () =>
        wired((heard, next) => {
            const stream = new Connection(weir.url('sse', '/')).send('GET', { accept: 'text/event-stream' });
            const listens = (async () => {
                await stream.head();
                return (await stream.event()).data;
            })();
            const listen = async () => {
                for (let event; (await listens, (event = await stream.event())); ) if (event.data) heard(event.data);
            };
            listen().catch(() => {});
            const say = async text => {
                const { status } = await request(weir.url('sse', await listens), 'POST', {}, text);
                assert.equal(status, 202);
            };
            return { say, next, close: () => stream.close() };
        }),
    /* The client starts a weir of its own, which ends with it. */
    stdio: () =>
        wired((heard, next) => {
            const folder = mkdtempSync(join(tmpdir(), 'weir-e2e-'));
            const file = join(folder, 'weir.yaml');
            const listener = { transport: 'stdio', listen: 'stdio:', routes: [{ path: '/', upstream: 'demo' }] };
            writeFileSync(file, JSON.stringify({ workers: 1, modules: ['stdio', 'pool'], listeners: { mine: listener }, upstreams }));
            const wire = stdio.start(binary, ['-c', file], { cwd: repo });
            wire.onText = heard;
            const close = async () => {
                wire.close();
                assert.deepEqual(await wire.ended, { code: 0, signal: null });
                rmSync(folder, { recursive: true });
            };
            return { say: wire.send, next, close };
        })
};

for (const [name, open] of Object.entries(clients)) {
    test(`${name}: a_batch_is_answered_by_one_array`, async () => {
        const client = open();
        try {
            await client.say(hello());
            assert.equal((await client.next()).result.protocolVersion, REVISION);
            await client.say(rpc('notifications/initialized'));
            await client.say(batch(echo(1, 'one'), note, echo('zwei', 'two'), '[]', rpc('no/such', {}, 3)));
            const answers = await client.next();
            assert.ok(Array.isArray(answers), JSON.stringify(answers));
            const by = byId(answers);
            assert.match(by['1'].result.content[0].text, /one/);
            assert.match(by['"zwei"'].result.content[0].text, /two/);
            assert.equal(by['null'].error.code, -32600);
            assert.equal(by['3'].error.code, -32601);
            assert.equal(answers.length, 4);
            await client.say(batch(note, note)); // is not answered
            await client.say(ping(5));
            assert.equal((await client.next()).id, 5);
        } finally {
            await client.close();
        }
    });

    test(`${name}: a_batch_of_another_revision_is_refused`, async () => {
        const client = open();
        try {
            await client.say(batch(ping(1)));
            const early = await client.next();
            assert.deepEqual({ error: early.error.code, id: early.id }, none);
            assert.match(early.error.message, /initialize/);
            await client.say(hello('2025-06-18'));
            assert.equal((await client.next()).result.protocolVersion, '2025-06-18');
            await client.say(rpc('notifications/initialized'));
            await client.say(batch(ping(1)));
            const refused = await client.next();
            assert.deepEqual({ error: refused.error.code, id: refused.id }, none);
            assert.match(refused.error.message, /this is 2025-06-18/);
            await client.say(ping(2));
            assert.equal((await client.next()).id, 2);
        } finally {
            await client.close();
        }
    });
}

test('http: the_session_says_the_revision_where_the_head_does_not', async () => {
    const url = weir.url('http', '/');
    const opened = async revision => {
        const connection = new Connection(url).send('POST', {}, hello(revision));
        const { headers } = await connection.head();
        await connection.body();
        const session = { 'mcp-session-id': headers['mcp-session-id'] };
        connection.send('POST', session, rpc('notifications/initialized'));
        await connection.head();
        return { connection, session };
    };
    const { connection, session } = await opened(REVISION);
    connection.send('POST', session, batch(echo(1, 'one'), echo(2, 'two')));
    assert.equal((await connection.head()).status, 200);
    const answers = byId(JSON.parse(await connection.body()));
    assert.match(answers['2'].result.content[0].text, /two/);
    connection.close();

    const other = await opened('2025-06-18');
    other.connection.send('POST', other.session, batch(ping(1)));
    assert.equal((await other.connection.head()).status, 400);
    assert.match(await other.connection.body(), /this is 2025-06-18/);
    other.connection.send('POST', { 'mcp-session-id': 'gone' }, batch(ping(1), ping(2)));
    assert.equal((await other.connection.head()).status, 404, 'the client has to hear that its session is gone');
    other.connection.close();
});

/* ---- what is large, and what is not wanted any more ---- */

const roomy = { upstream: { buffer_limit: '16KiB' } };
const big = (id, letter) => answerTo(ping(id), { text: letter.repeat(12000) });

scene(
    'answers_beyond_buffer_limit_do_not_wait_for_the_last_one',
    async ({ client, server }) => {
        const connection = client().send('POST', {}, batch(...[1, 2, 3].map(ping)));
        const peers = {};
        for (let i = 0; i < 3; i++) {
            const peer = await server.next();
            peers[JSON.parse((await peer.request()).body).id] = peer;
        }
        peers[1].reply(big(1, 'a'));
        peers[2].reply(big(2, 'b'));
        const { headers } = await connection.head();
        assert.match(headers['content-type'], /^text\/event-stream/);
        const first = JSON.parse((await connection.event()).data);
        assert.deepEqual(first.map(({ id }) => id).sort(), [1, 2]);
        peers[3].reply(big(3, 'c'));
        assert.deepEqual(JSON.parse((await connection.event()).data), JSON.parse(big(3, 'c')));
        assert.equal(await connection.event(), null);
        connection.close();
    },
    roomy
);

scene(
    'one_that_is_cancelled_over_a_stream_is_not_waited_for',
    async ({ server, url }) => {
        const client = wired((heard, next) => {
            const socket = net.connect(new URL(url).port, '127.0.0.1');
            socket.on('data', bytes => bytes.toString().trim().split('\n').forEach(heard));
            return { say: text => socket.write(`${text}\n`), next, close: () => socket.destroy() };
        });
        const close = '200 OK';
        const json = 'Content-Type: application/json\r\nConnection: close\r\n';
        const next = async () => {
            const peer = await server.next();
            return { peer, ...(await peer.request()) };
        };
        client.say(hello());
        const opened = await next();
        opened.peer.reply(answerTo(opened.body, { protocolVersion: REVISION, capabilities: {}, serverInfo: { name: 'x', version: '1' } }), close, `${json}Mcp-Session-Id: s\r\n`);
        assert.equal((await client.next()).id, 'hello');
        client.say(batch(ping(1), ping(2)));
        const asked = [await next(), await next()];
        for (const { peer, body } of asked) if (JSON.parse(body).id === 1) peer.reply(answerTo(body), close, json);
        client.say(rpc('notifications/cancelled', { requestId: 2 }));
        const told = await next();
        assert.match(told.body, /notifications\/cancelled/, 'the server hears of it');
        told.peer.reply('', '202 Accepted', 'Connection: close\r\n');
        assert.deepEqual(await client.next(), [JSON.parse(answerTo(ping(1)))]);
        client.close();
    },
    { listener: { transport: 'tcp' }, path: '/' }
);
