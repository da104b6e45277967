// Whoever is slow slows down whoever is fast, and nobody else: memory stays bounded, and nothing is lost when it goes on.
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { connect } from 'node:net';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import WebSocket from 'ws';
import { descendants, look, until } from './lib/process.mjs';
import { Connection, rpc } from './lib/raw.mjs';
import { Streamer } from './lib/streams.mjs';
import { repo, startWeir } from './lib/weir.mjs';
import { demo, node } from './lib/world.mjs';

const meta = {
    'io.modelcontextprotocol/protocolVersion': '2026-07-28',
    'io.modelcontextprotocol/clientInfo': { name: 'raw', version: '1' },
    'io.modelcontextprotocol/clientCapabilities': {}
};
const request = (id, name, args = {}, token = id) => rpc('tools/call', { name, arguments: args, _meta: { ...meta, progressToken: token } }, id);

/* ---- clients: each says a request, hears messages, and can stop hearing ---- */

function hearing(socket) {
    const client = { heard: [], socket, pause: isPaused => (isPaused ? socket.pause() : socket.resume()), close: () => socket.destroy() };
    client.answered = id => until(() => client.heard.find(message => message.id === id), `${id} is answered`);
    return client;
}

const clients = {
    async http(weir, path) {
        const connection = new Connection(weir.url('http', `/${path}`));
        const client = hearing(connection.socket);
        const listen = async () => {
            const { headers } = await connection.head();
            if (!headers['content-type'].startsWith('text/event-stream')) return client.heard.push(JSON.parse(await connection.body()));
            for (let event; (event = await connection.event()); ) if (event.data) client.heard.push(JSON.parse(event.data));
        };
        client.say = body => {
            const { name } = JSON.parse(body).params;
            connection.send('POST', { 'mcp-protocol-version': '2026-07-28', 'mcp-method': 'tools/call', 'mcp-name': name }, body);
            listen().catch(() => {});
        };
        return client;
    },
    async tcp(weir, path) {
        const client = hearing(connect(weir.port(`tcp_${path}`), '127.0.0.1'));
        createInterface({ input: client.socket }).on('line', line => client.heard.push(JSON.parse(line)));
        client.socket.on('error', () => {});
        client.say = body => client.socket.write(`${body}\n`);
        return client;
    },
    async ws(weir, path) {
        const ws = new WebSocket(`ws://127.0.0.1:${weir.port('ws')}/${path}`, 'mcp', { perMessageDeflate: false });
        await new Promise((resolve, reject) => ws.once('open', resolve).once('error', reject));
        const client = hearing(ws._socket);
        ws.on('message', data => client.heard.push(JSON.parse(data.toString()))).on('error', () => {});
        client.say = body => ws.send(body);
        client.pause = isPaused => (isPaused ? ws.pause() : ws.resume());
        client.close = () => ws.terminate();
        return client;
    }
};

/* Over HTTP: answers a call with `count` notifications of `bytes` bytes, as fast as they are taken. */
async function startPourer() {
    const pourer = { sent: 0 };
    const server = createServer(async (asked, reply) => {
        const { id, params } = JSON.parse(await text(asked));
        let go = () => {};
        reply.on('drain', () => go()).on('close', () => go());
        reply.writeHead(200, { 'content-type': 'text/event-stream' });
        const event = message => reply.write(`data: ${JSON.stringify({ jsonrpc: '2.0', ...message })}\n\n`);
        const { count = 0, bytes } = params.arguments ?? {};
        for (let progress = 1; progress <= count && !reply.destroyed; progress++) {
            const isTaken = event({ method: 'notifications/progress', params: { progressToken: params._meta.progressToken, progress, message: 'x'.repeat(bytes) } });
            pourer.sent += 1;
            if (!isTaken) await new Promise(resolve => (go = resolve));
        }
        event({ id, result: { resultType: 'complete', content: [] } });
        reply.end();
    });
    await new Promise(resolve => server.listen(0, '127.0.0.1', resolve));
    return Object.assign(pourer, { url: `http://127.0.0.1:${server.address().port}/mcp`, stop: () => (server.closeAllConnections(), new Promise(resolve => server.close(resolve))) });
}

/* Upstreams `poured`, `near` (a child), and `far` with this server; every client reaches every one. */
async function scene(play, { kind = 'tcp', listener = {} } = {}) {
    const pourer = await startPourer();
    const far = await new Streamer(kind).start();
    const chain = [{ pool: { min: 0, health_check: 0, max: 1, exchanges_per_link: 1000 } }];
    const upstreams = {
        poured: { transport: 'http', servers: [{ url: pourer.url }], chain: [{ pool: { min: 0, health_check: 0 } }] },
        near: { transport: 'stdio', command: demo.stdio, chain },
        child: { transport: 'stdio', command: [node, `${repo}/t/fault/servers/child.mjs`], chain },
        far: { ...far.upstream, servers: [far.entry], chain, buffer_limit: '256KiB' }
    };
    const names = Object.keys(upstreams);
    const common = { listen: '127.0.0.1:0', ...listener };
    const routes = names.map(name => ({ path: `/${name}`, upstream: name }));
    const listeners = { http: { transport: 'http', ...common, routes }, ws: { transport: 'ws', ...common, routes } };
    for (const name of names) listeners[`tcp_${name}`] = { transport: 'tcp', ...common, routes: [{ path: '/', upstream: name }] };
    const text = JSON.stringify({ workers: 1, log: { level: 'info', file: 'stderr' }, modules: ['http', 'ws', 'tcp', 'stdio', 'pool'], listeners, upstreams });
    const env = { ASAN_OPTIONS: [process.env.ASAN_OPTIONS, 'quarantine_size_mb=1'].filter(Boolean).join(':') }; // memory is looked at
    const weir = await startWeir(text, { env });
    const all = [];
    const client = async (of, path) => {
        const one = await clients[of](weir, path);
        all.push(one);
        return one;
    };
    /* MiB that weir's processes have now. */
    const memory = () => descendants(weir.pid).filter(({ command }) => /^weir: (worker|keeper)/.test(command)).reduce((sum, { pid }) => sum + (look(pid)?.resident ?? 0), 0);
    try {
        await play({ weir, pourer, far, client, memory });
    } finally {
        all.forEach(one => one.close());
        await weir.stop();
        await pourer.stop();
        await far.stop();
    }
}

/* What others get meanwhile. */
async function isServed(client, of, path = 'near') {
    const other = await client(of, path);
    other.say(request('other', 'echo', { message: 'here' }));
    assert.ok((await other.answered('other')).result);
    other.close();
}

const COUNT = 800;
const BYTES = 65_536; // 50 MiB, of which the kernels of both sides take some

for (const of of Object.keys(clients))
    test(`backpressure: a_slow_client_over_${of}_stops_its_server_and_gets_everything`, () =>
        scene(async ({ pourer, client, memory }) => {
            const slow = await client(of, 'poured');
            await isServed(client, of, 'poured');
            const before = memory();
            slow.say(request('slow', 'pour', { count: COUNT, bytes: BYTES }));
            await until(() => slow.heard.length > 0, 'it begins');
            slow.pause(true);
            for (let i = 0; i < 10; i++) for (const other of Object.keys(clients)) await isServed(client, other);
            await isServed(client, of, 'poured');
            let sent;
            await until(async () => ((sent = pourer.sent), await isServed(client, of), pourer.sent === sent), 'the server has stopped');
            assert.ok(sent < COUNT, `${sent} of ${COUNT} were taken for a client that reads none`);
            assert.ok(memory() - before < 24, `${memory() - before} MiB more than before`);
            slow.pause(false);
            assert.ok((await slow.answered('slow')).result);
            assert.deepEqual(slow.heard.slice(0, -1).map(({ params }) => params.progress), Array.from({ length: COUNT }, (_, i) => i + 1));
        }));

test('backpressure: a_slow_client_of_a_batch_stops_the_servers_of_all_its_messages_and_gets_everything', () =>
    scene(async ({ weir, pourer, client, memory }) => {
        const tokens = ['one', 'other'];
        const pours = tokens.map(token => rpc('tools/call', { name: 'pour', arguments: { count: COUNT / 2, bytes: BYTES }, _meta: { progressToken: token } }, token));
        await isServed(client, 'http', 'poured');
        const before = memory();
        const slow = new Connection(weir.url('http', '/poured')).send('POST', {}, `[${pours}]`);
        try {
            assert.match((await slow.head()).headers['content-type'], /^text\/event-stream/);
            const heard = [JSON.parse((await slow.event()).data)];
            slow.pause(true);
            await isServed(client, 'http', 'poured');
            let sent;
            await until(async () => ((sent = pourer.sent), await isServed(client, 'tcp'), await isServed(client, 'http', 'poured'), pourer.sent === sent), 'both servers have stopped');
            assert.ok(sent < COUNT, `${sent} of ${COUNT} were taken for a client that reads none`);
            assert.ok(memory() - before < 24, `${memory() - before} MiB more than before`);
            slow.pause(false);
            for (let event; (event = await slow.event()) !== null; ) heard.push(...[JSON.parse(event.data)].flat());
            assert.deepEqual(heard.filter(({ id }) => id !== undefined).map(({ id, result }) => [id, result.resultType]).sort(), tokens.map(token => [token, 'complete'])); // prettier-ignore
            for (const token of tokens)
                assert.deepEqual(
                    heard.filter(({ params }) => params?.progressToken === token).map(({ params }) => params.progress),
                    Array.from({ length: COUNT / 2 }, (_, i) => i + 1)
                );
        } finally {
            slow.close();
        }
    }));

for (const of of ['tcp', 'ws'])
    test(`backpressure: a_slow_server_stops_its_client_over_${of}_and_answers_everything`, () =>
        scene(
            async ({ far, client, memory }) => {
                const fast = await client(of, 'far');
                fast.say(request('first', 'well'));
                await fast.answered('first');
                far.pause(true);
                const before = memory();
                const bulk = 'y'.repeat(BYTES);
                for (let i = 0; i < COUNT; i++) fast.say(request(`fast ${i}`, 'well', { bulk }));
                for (let i = 0; i < 10; i++) for (const other of Object.keys(clients)) await isServed(client, other);
                let waits;
                await until(async () => ((waits = fast.socket.writableLength), await isServed(client, of), fast.socket.writableLength === waits), 'weir has stopped');
                assert.ok(waits > (COUNT * BYTES) / 4, `${waits} bytes wait with the client`);
                assert.ok(memory() - before < 24, `${memory() - before} MiB more than before`);
                far.pause(false);
                for (let i = 0; i < COUNT; i++) assert.ok((await fast.answered(`fast ${i}`)).result);
                assert.equal(fast.heard.length, COUNT + 1, 'each once');
            },
            { listener: { max_in_flight: '2MiB' } }
        ));

for (const kind of ['tcp', 'length', 'ws'])
    test(`backpressure: clients_with_the_same_token_on_one_link_over_${kind}_hear_their_own_progress_only`, () =>
        scene(
            async ({ far, client }) => {
                const all = [await client('http', 'far'), await client('tcp', 'far'), await client('ws', 'far'), await client('http', 'far')];
                all.forEach((one, i) => one.say(request('same', 'counting', { say: `to client ${i}` }, 'same token')));
                for (const [i, one] of all.entries()) {
                    assert.ok((await one.answered('same')).result);
                    const progress = one.heard.filter(({ method }) => method);
                    assert.deepEqual(
                        progress.map(({ params }) => [params.progressToken, params.progress, params.message]),
                        [1, 2, 3].map(n => ['same token', n, `to client ${i}`])
                    );
                }
                assert.equal(far.wires.size, 1, 'one link');
                const tokens = far.messages.filter(({ method }) => method === 'tools/call').map(({ params }) => params._meta.progressToken);
                assert.equal(new Set(tokens).size, all.length, `the server can tell them apart: ${tokens}`);
            },
            { kind }
        ));

test('backpressure: clients_with_the_same_token_on_one_child_hear_their_own_progress_only', () =>
    scene(async ({ weir, client }) => {
        const all = [await client('http', 'child'), await client('tcp', 'child'), await client('ws', 'child')];
        all.forEach((one, i) => one.say(request('same', 'flood', { count: i + 2, bytes: 10 }, 'same token')));
        for (const [i, one] of all.entries()) {
            assert.ok((await one.answered('same')).result);
            const progress = one.heard.filter(({ method }) => method).map(({ params }) => [params.progressToken, params.progress]);
            assert.deepEqual(progress, Array.from({ length: i + 2 }, (_, n) => ['same token', n + 1]));
        }
        assert.equal(weir.stderr().match(/child\/\d+\[\d+\] started/g).length, 1, 'one child');
    }));
