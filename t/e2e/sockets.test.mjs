// WebSocket peers that break the rules of RFC 6455 and RFC 7692, on either side: each is told the close code that the rules have for
// it, whoever waited for it gets an error of the table, and everybody else is served.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import net from 'node:net';
import { after, before, test } from 'node:test';
import zlib from 'node:zlib';
import { WebSocket, WebSocketServer } from 'ws';
import { quiet } from './lib/fake.mjs';
import { until } from './lib/process.mjs';
import { Connection, rpc } from './lib/raw.mjs';
import { startWeir } from './lib/weir.mjs';
import { demo } from './lib/world.mjs';

const TEXT = 1;
const CLOSE = 8;
const PING = 9;
const PONG = 10;
const MAX = 64 << 10;

/* One frame. `length` may lie, `mask: false` leaves it unmasked. */
function frame(opcode, payload = '', { isLast = true, rsv = 0, mask = true, length } = {}) {
    const bytes = Buffer.from(payload);
    const n = length ?? bytes.length;
    const first = Buffer.from([(isLast ? 0x80 : 0) | (rsv << 4) | opcode]);
    const size = n < 126 ? Buffer.from([n]) : n < 65536 ? Buffer.from([126, n >> 8, n & 255]) : Buffer.concat([Buffer.from([127]), Buffer.alloc(8)]);
    if (n >= 65536) size.writeBigUInt64BE(BigInt(n), 1);
    if (!mask) return Buffer.concat([first, size, bytes]);
    size[0] |= 0x80;
    return Buffer.concat([first, size, Buffer.from([1, 2, 3, 4]), bytes.map((byte, i) => byte ^ ((i % 4) + 1))]);
}

/* One end of a WebSocket, by hand: next() is the next frame { opcode, payload } of the other end, or null at the end. */
class Bare {
    #bytes = Buffer.alloc(0);
    #isOver = false;
    #wake = () => {};

    constructor(socket) {
        this.socket = socket;
        socket.on('data', bytes => {
            this.#bytes = Buffer.concat([this.#bytes, bytes]);
            this.#wake();
        });
        socket.on('close', () => ((this.#isOver = true), this.#wake())).on('error', () => {});
    }

    async #exactly(n) {
        while (this.#bytes.length < n && !this.#isOver) await new Promise(resolve => (this.#wake = resolve));
        if (this.#bytes.length < n) return null;
        const taken = this.#bytes.subarray(0, n);
        this.#bytes = this.#bytes.subarray(n);
        return taken;
    }

    /* The head of an HTTP message, as text. */
    async head() {
        while (!this.#bytes.includes('\r\n\r\n') && !this.#isOver) await new Promise(resolve => (this.#wake = resolve));
        return (await this.#exactly(this.#bytes.indexOf('\r\n\r\n') + 4)).toString();
    }

    async next() {
        const begin = await this.#exactly(2);
        if (begin === null) return null;
        let length = begin[1] & 127;
        if (length === 126) length = (await this.#exactly(2)).readUInt16BE();
        else if (length === 127) length = Number((await this.#exactly(8)).readBigUInt64BE());
        const key = begin[1] & 128 ? Buffer.from(await this.#exactly(4)) : Buffer.alloc(4);
        const payload = Buffer.from(await this.#exactly(length)).map((byte, i) => byte ^ key[i % 4]);
        return { opcode: begin[0] & 15, payload };
    }

    /* The code that the other end closes with, and that it does close. */
    async closed() {
        let code = null;
        for (let one; (one = await this.next()) !== null; ) if (one.opcode === CLOSE) code = one.payload.length >= 2 ? one.payload.readUInt16BE() : 1005;
        return code;
    }

    say(...frames) {
        this.socket.write(Buffer.concat(frames));
    }

    end() {
        this.socket.destroy();
    }
}

const hello = rpc('initialize', { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'x', version: '1' } }, 'hello');
const ping = id => rpc('ping', undefined, id);

/* ---- clients ---- */

let weir;
before(async () => {
    const at = options => ({ transport: 'ws', listen: '127.0.0.1:0', routes: [{ path: '/', upstream: 'demo' }], max_message: MAX, ...options });
    const listeners = { plain: at({}), packed: at({ permessage_deflate: true }), deaf: at({ ping_interval: '500ms' }) };
    const upstreams = { demo: { transport: 'stdio', command: demo.stdio, chain: ['pool'] } };
    weir = await startWeir(JSON.stringify({ workers: 1, log: { level: 'info', file: 'stderr' }, modules: ['ws', 'stdio', 'pool'], listeners, upstreams }));
});
after(() => weir?.stop());

/* A client whose handshake is done. */
async function visitor(name, fields = '') {
    const client = new Bare(net.connect(weir.port(name), '127.0.0.1'));
    client.socket.write(
        `GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n${fields}\r\n`
    );
    const head = await client.head();
    assert.match(head, /^HTTP\/1\.1 101 /);
    if (fields) assert.match(head, /permessage-deflate/);
    return client;
}

const deflated = 'Sec-WebSocket-Extensions: permessage-deflate; client_no_context_takeover; server_no_context_takeover\r\n';
const packed = text => zlib.deflateRawSync(text, { finishFlush: zlib.constants.Z_SYNC_FLUSH }).subarray(0, -4);
const code = (n, why = '') => Buffer.concat([Buffer.from([n >> 8, n & 255]), Buffer.from(why)]);

/* [what a client does, the frames, the code that it gets (1005: a goodbye without one), the listener] */
for (const [what, frames, wanted, name = 'plain'] of [
    ['does_not_mask', [frame(TEXT, ping(1), { mask: false })], 1002],
    ['sets_a_bit_that_means_nothing', [frame(TEXT, ping(1), { rsv: 2 })], 1002],
    ['says_that_it_compressed_where_that_was_not_agreed', [frame(TEXT, packed(ping(1)), { rsv: 4 })], 1002],
    ['uses_an_opcode_that_is_none', [frame(3, 'x')], 1002],
    ['uses_a_control_opcode_that_is_none', [frame(11, 'x')], 1002],
    ['goes_on_with_what_it_did_not_begin', [frame(0, ping(1))], 1002],
    ['begins_another_message_within_one', [frame(TEXT, '{', { isLast: false }), frame(TEXT, '}')], 1002],
    ['cuts_a_ping_into_fragments', [frame(PING, 'x', { isLast: false })], 1005],
    ['sends_a_ping_of_126_bytes', [frame(PING, 'x'.repeat(126))], 1005],
    ['sends_text_that_is_no_utf8', [frame(TEXT, Buffer.from([0x22, 0xc3, 0x28, 0x22]))], 1007],
    ['sends_half_a_character_in_its_last_fragment', [frame(TEXT, '"', { isLast: false }), frame(0, Buffer.from([0xc3]))], 1007],
    ['sends_what_is_no_text', [frame(2, ping(1))], 1003],
    ['announces_four_gibibytes', [frame(TEXT, 'x', { length: 2 ** 32 })], 1009],
    ['announces_more_than_there_is', [frame(TEXT, 'x', { length: 2 ** 52 })], 1009],
    ['goes_beyond_max_message_in_fragments', Array(5).fill(0).map((_, i) => frame(i ? 0 : TEXT, 'x'.repeat(MAX / 4), { isLast: i === 4 })), 1009],
    ['says_goodbye', [frame(CLOSE, code(1000, 'bye'))], 1000],
    ['says_goodbye_without_a_code', [frame(CLOSE)], 1005],
    ['says_goodbye_with_a_code_of_its_own', [frame(CLOSE, code(4000))], 4000],
    ['says_goodbye_with_half_a_code', [frame(CLOSE, 'x')], 1005],
    ['says_goodbye_with_a_code_that_nobody_may_say', [frame(CLOSE, code(1005))], 1002],
    ['says_goodbye_with_a_code_that_is_none', [frame(CLOSE, code(999))], 1002],
    ['says_goodbye_in_what_is_no_utf8', [frame(CLOSE, Buffer.from([3, 232, 0xc3]))], 1007],
    ['sends_a_bomb', [frame(TEXT, packed(`"${'x'.repeat(8 << 20)}"`), { rsv: 4 })], 1009, 'packed'],
    ['sends_garbage_as_compressed', [frame(TEXT, Buffer.from('deadbeef', 'hex'), { rsv: 4 })], 1007, 'packed'],
    ['compresses_a_ping', [frame(PING, 'x', { rsv: 4 })], 1002, 'packed'],
    ['marks_a_fragment_as_compressed_that_does_not_begin', [frame(TEXT, '', { isLast: false, rsv: 4 }), frame(0, 'x', { rsv: 4 })], 1002, 'packed']
])
    test(`a_client_that_${what}_is_told_${wanted}`, async () => {
        const client = await visitor(name, name === 'packed' ? deflated : '');
        client.say(...frames);
        assert.equal(await client.closed(), wanted);
        const next = await visitor('plain');
        next.say(frame(TEXT, hello));
        assert.equal(JSON.parse((await next.next()).payload).id, 'hello');
        next.end();
    });

test('a_message_in_fragments_with_pings_between_them_is_one_message', async () => {
    const client = await visitor('plain');
    const pieces = hello.match(/.{1,9}/g);
    pieces.forEach((piece, i) => client.say(frame(i ? 0 : TEXT, piece, { isLast: i === pieces.length - 1 }), frame(PING, `${i}`)));
    const seen = [];
    for (let one; seen.length < pieces.length + 1; seen.push(one)) one = await client.next();
    const pongs = seen.filter(({ opcode }) => opcode === PONG).map(({ payload }) => payload.toString());
    assert.deepEqual(pongs, pieces.map((_, i) => `${i}`), 'each ping is answered with what it said, in order');
    assert.equal(JSON.parse(seen.find(({ opcode }) => opcode === TEXT).payload).id, 'hello');
    client.end();
});

test('a_message_that_comes_byte_by_byte_is_one_message', async () => {
    const client = await visitor('packed', deflated);
    for (const byte of frame(TEXT, packed(hello), { rsv: 4 })) client.socket.write(Buffer.from([byte]));
    assert.equal((await client.next()).opcode, TEXT);
    client.end();
});

test('what_is_no_json_is_told_and_the_conversation_goes_on', async () => {
    const client = await visitor('plain');
    for (const [text, error] of [['', -32700], ['{', -32700], ['1', -32600]]) {
        client.say(frame(TEXT, text));
        const answer = JSON.parse((await client.next()).payload);
        assert.deepEqual([answer.id, answer.error.code], [null, error], text);
    }
    client.say(frame(TEXT, hello));
    assert.equal(JSON.parse((await client.next()).payload).id, 'hello');
    client.end();
});

test('a_client_that_never_answers_a_ping_is_let_go_and_one_that_does_is_kept', async () => {
    const kept = new WebSocket(`ws://127.0.0.1:${weir.port('deaf')}/`, 'mcp');
    let pings = 0;
    kept.on('ping', () => pings++);
    const deaf = await visitor('deaf');
    assert.equal((await deaf.next()).opcode, PING);
    assert.equal(await deaf.next(), null, 'nothing more comes, and the connection ends');
    await until(
        () => /ws: a client did not answer a ping within ping_interval \(500 ms\)/.test(weir.stderr()),
        () => `the log says why:\n${weir.stderr()}`
    );
    await until(
        () => pings > 2,
        () => 'pings go on'
    );
    assert.equal(kept.readyState, WebSocket.OPEN);
    kept.terminate();
});

test('npm_ws_as_a_client_that_never_answers_a_ping_is_let_go', async () => {
    const client = new WebSocket(`ws://127.0.0.1:${weir.port('deaf')}/`, 'mcp', { autoPong: false });
    let pings = 0;
    client.on('ping', () => pings++).on('open', () => client.send(hello));
    const code = await new Promise(resolve => client.on('close', resolve));
    assert.deepEqual([pings, code], [1, 1006]); // 1006: without a goodbye
});

test('npm_ws_compresses_and_is_understood', async () => {
    const client = new WebSocket(`ws://127.0.0.1:${weir.port('packed')}/`, 'mcp', { perMessageDeflate: { threshold: 0 } });
    const next = () => new Promise(resolve => client.once('message', bytes => resolve(JSON.parse(bytes))));
    await new Promise(resolve => client.on('open', resolve));
    assert.match(client.extensions, /permessage-deflate/);
    client.send(hello);
    assert.equal((await next()).id, 'hello');
    const text = 'over and over '.repeat(3000);
    client.send(rpc('notifications/initialized'));
    client.send(rpc('tools/call', { name: 'echo', arguments: { message: text } }, 2));
    const { id, result } = await next();
    assert.equal(id, 2);
    assert.ok(result.content[0].text.includes(text));
    client.close(1000);
    const [closed] = await new Promise(resolve => client.on('close', (...how) => resolve(how)));
    assert.equal(closed, 1000);
});

/* ---- servers ---- */

const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';

/* A server that does the handshake and then what it is told, by hand: next() is the next connection made to it. */
async function bareServer(fields = () => '') {
    const arrived = [];
    let wake = () => {};
    const server = net.createServer(async socket => {
        const peer = new Bare(socket);
        const head = await peer.head();
        const key = head.match(/sec-websocket-key: *(\S+)/i)[1];
        const accept = createHash('sha1').update(key + GUID).digest('base64');
        socket.write(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\nSec-WebSocket-Protocol: mcp\r\n${fields(head)}\r\n`);
        arrived.push(peer);
        wake();
    });
    const sockets = new Set();
    server.on('connection', socket => sockets.add(socket));
    await new Promise(resolve => server.listen(0, '127.0.0.1', resolve));
    const next = async () => {
        while (arrived.length === 0) await new Promise(resolve => (wake = resolve));
        return arrived.shift();
    };
    const stop = () => (sockets.forEach(socket => socket.destroy()), new Promise(resolve => server.close(resolve)));
    return { url: `ws://127.0.0.1:${server.address().port}/`, next, stop };
}

/* weir between a client of HTTP and a WebSocket server that a scene plays. */
async function withServer(play, { upstream = {}, fields } = {}) {
    const server = await bareServer(fields);
    const configuration = {
        workers: 1,
        log: { level: 'info', file: 'stderr' },
        modules: ['http', 'ws', 'pool'],
        listeners: { edge: { transport: 'http', listen: '127.0.0.1:0', routes: [{ path: '/', upstream: 'up' }] } },
        upstreams: { up: { transport: 'ws', max_message: MAX, ...upstream, servers: [{ url: server.url }], chain: [{ pool: { ...quiet, min: 0 } }] } }
    };
    const between = await startWeir(JSON.stringify(configuration));
    try {
        const connection = new Connection(between.url('edge', '/')).send('POST', {}, hello);
        const peer = await server.next();
        let asked;
        do asked = await peer.next();
        while (asked.opcode !== TEXT);
        await play({ weir: between, connection, peer, asked, server });
        connection.close();
    } finally {
        await between.stop();
        await server.stop();
    }
}

const failed = async (connection, reason) => {
    const { status } = await connection.head();
    const { error } = JSON.parse(await connection.body());
    assert.deepEqual([status, error.data.reason], [502, reason], error.message);
};

/* [what a server does, the frames, the code that it gets] */
const server = (opcode, payload, options) => frame(opcode, payload, { mask: false, ...options });
for (const [what, frames, wanted, reason = 'server_died', options] of [
    ['masks', [frame(TEXT, '{}')], 1002],
    ['sets_a_bit_that_means_nothing', [server(TEXT, '{}', { rsv: 1 })], 1002],
    ['sends_what_is_no_text', [server(2, '{}')], 1003],
    ['sends_text_that_is_no_utf8', [server(TEXT, Buffer.from([0x22, 0xc3, 0x28, 0x22]))], 1007],
    ['announces_four_gibibytes', [server(TEXT, 'x', { length: 2 ** 32 })], 1009],
    ['says_goodbye_while_it_is_asked', [server(CLOSE, code(1011, 'broken'))], 1011],
    [
        'sends_a_bomb',
        [server(TEXT, packed(`"${'x'.repeat(8 << 20)}"`), { rsv: 4 })],
        1009,
        'server_died',
        { upstream: { permessage_deflate: true }, fields: () => deflated }
    ]
])
    test(`a_server_that_${what}_is_told_${wanted}_and_who_waits_gets_${reason}`, () =>
        withServer(async ({ connection, peer }) => {
            peer.say(...frames);
            assert.equal(await peer.closed(), wanted);
            await failed(connection, reason);
        }, options));

test('a_server_that_never_answers_a_ping_is_let_go_and_who_waits_gets_server_died', () =>
    withServer(
        async ({ connection, peer, weir: between }) => {
            assert.equal((await peer.next()).opcode, PING);
            await failed(connection, 'server_died');
            await until(() => /did not answer a ping within ping_interval/.test(between.stderr()), 'the log says why');
        },
        { upstream: { ping_interval: '100ms' } }
    ));

test('a_server_that_answers_in_fragments_is_understood', () =>
    withServer(async ({ connection, peer, asked }) => {
        const { id } = JSON.parse(asked.payload);
        const answer = JSON.stringify({ jsonrpc: '2.0', id, error: { code: -32601, message: 'no such thing' } });
        const pieces = answer.match(/.{1,7}/g);
        pieces.forEach((piece, i) => peer.say(server(i ? 0 : TEXT, piece, { isLast: i === pieces.length - 1 }), server(PING, `${i}`)));
        assert.equal((await connection.head()).status, 200);
        const { error } = JSON.parse(await connection.body());
        assert.equal(error.message, 'no such thing');
    }));

for (const [what, options, serve, upstream] of [
    ['terminates_while_it_is_asked', {}, socket => socket.on('message', () => socket.terminate()), {}],
    ['never_answers_a_ping', { autoPong: false }, () => {}, { ping_interval: '200ms' }]
])
    test(`npm_ws_as_a_server_that_${what}`, async () => {
        const wss = new WebSocketServer({ port: 0, host: '127.0.0.1', ...options });
        wss.on('connection', serve);
        await new Promise(resolve => wss.on('listening', resolve));
        const configuration = {
            workers: 1,
            modules: ['http', 'ws', 'pool'],
            listeners: { edge: { transport: 'http', listen: '127.0.0.1:0', routes: [{ path: '/', upstream: 'up' }] } },
            upstreams: { up: { transport: 'ws', ...upstream, servers: [{ url: `ws://127.0.0.1:${wss.address().port}/` }], chain: [{ pool: { ...quiet, min: 0 } }] } }
        };
        const between = await startWeir(JSON.stringify(configuration));
        try {
            const connection = new Connection(between.url('edge', '/')).send('POST', {}, hello);
            await failed(connection, 'server_died');
            connection.close();
        } finally {
            await between.stop();
            wss.close();
        }
    });
