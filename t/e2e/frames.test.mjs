// Link modules: messages share what is written to a server, counted in /status; where they cannot work, the configuration says why.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import zlib from 'node:zlib';
import { run, until } from './lib/process.mjs';
import { openSession, rpc } from './lib/raw.mjs';
import { binary, startWeir } from './lib/weir.mjs';
import { demo } from './lib/world.mjs';

const text = (chain, { upstream = {}, listener = {} } = {}) => `log: { level: info, file: stderr }
admin: { listen: "127.0.0.1:0" }
modules: [http, stdio, tcp, pool, batch, compress, codec_lz4]
listeners:
  edge: ${JSON.stringify({ transport: 'http', listen: '127.0.0.1:0', routes: [{ path: '/mcp', upstream: 'demo' }], ...listener })}
upstreams:
  demo: ${JSON.stringify({ transport: 'stdio', command: demo.stdio, chain, ...upstream })}
`;

const sum = object => Object.values(object).reduce((a, b) => a + b, 0);

for (const [name, batch] of [['to the end of the turn', { max_delay: 0 }], ['for 10 ms', {}], ['as it pays', { adaptive: true }], ['for nobody', { max_messages: 1 }]])
    test(`batch: every_call_is_answered_and_every_message_is_counted_once (waiting ${name})`, async () => {
        const weir = await startWeir(text(['pool', { batch }]));
        try {
            const session = await openSession(weir.url('edge', '/mcp'));
            const ids = [...Array(40).keys()];
            const answers = await Promise.all(ids.map(id => session.call('tools/call', { name: 'echo', arguments: { message: `number ${id}` } }, id)));
            answers.forEach(({ id, result }, i) => {
                assert.equal(id, i);
                assert.match(result.content[0].text, new RegExp(`number ${i}\\b`));
            });
            const { upstreams } = await weir.status();
            const { frames, chain } = upstreams.demo;
            const told = { max_messages: 100, max_bytes: '64KiB', max_delay: '10ms', adaptive: false, ...batch };
            assert.deepEqual(chain.at(-1), { module: 'batch', options: { ...told, max_delay: String(told.max_delay) } }); // though it works in the keeper
            assert.equal(frames.messages_out, 42); // initialize and initialized before them
            assert.equal(sum(frames.flushes), frames.batches_out);
            assert.ok(frames.batches_out <= frames.messages_out);
            assert.equal(frames.messages_per_batch, frames.messages_out / frames.batches_out);
            assert.equal(frames.bytes_after_compression, frames.bytes_before_compression);
            if (batch.max_messages === 1) assert.equal(frames.flushes.size, 42);
            if (batch.max_delay === 0) assert.equal(frames.flushes.turn, frames.batches_out);
        } finally {
            await weir.stop();
        }
    });

const http = { transport: 'http', command: undefined, servers: [{ url: 'http://127.0.0.1:9/mcp' }] };
const tcp = { transport: 'tcp', framing: 'length', command: undefined, servers: [{ address: '127.0.0.1:9' }] };
const refused = {
    'batch before the pool': [['batch', 'pool'], {}, /:7:\d+: upstream demo: batch works on links and must stand after the module that owns them \(pool\)/],
    'two that gather': [['pool', 'batch', 'batch'], {}, /upstream demo: batch stands after batch, and only one module of a chain gathers/],
    'compress towards a child': [['pool', 'compress'], {}, /upstream demo: compress cannot work on transport stdio: a child reads plain lines/],
    'a codec that is not loaded': [['pool', { compress: { codec: 'zstd' } }], { upstream: tcp }, /upstream demo: .*there is no codec zstd; is codec_zstd in `modules:`\?/],
    'compress towards lines': [['pool', 'compress'], { upstream: { ...tcp, framing: 'ndjson' } }, /upstream demo: compress cannot work on transport tcp: /],
    'batch towards HTTP': [['pool', 'batch'], { upstream: http }, /upstream demo: batch cannot work on transport http: .*2025-03-26/],
    'batch towards clients of HTTP': [['pool'], { listener: { chain: ['batch'] } }, /listener edge: batch cannot work on transport http: .*2025-03-26/],
    'a pool for clients': [['pool'], { listener: { chain: ['pool'] } }, /listener edge: pool is no link module.*belongs into the chain of an upstream/],
    'an option that is not there': [['pool', { batch: { max_mesages: 3 } }], {}, /max_mesages.*did you mean.*max_messages/],
    'a bound beyond the range': [['pool', { batch: { max_bytes: 1 } }], {}, /max_bytes/]
};

for (const [name, [chain, more, story]] of Object.entries(refused))
    test(`link modules: ${name} is refused, and the error says where and why`, async () => {
        const folder = mkdtempSync(join(tmpdir(), 'weir-e2e-'));
        const file = join(folder, 'weir.yaml');
        try {
            writeFileSync(file, text(chain, more));
            const { code, stderr } = await run(binary, ['-t', '-c', file]);
            assert.equal(code, 1);
            assert.match(stderr, story);
        } finally {
            rmSync(folder, { recursive: true });
        }
    });

for (const framing of ['ndjson', 'length', 'mux'])
    test(`two_weirs_meet_at_a_unix_socket_over_${framing}`, async () => {
        const folder = mkdtempSync(join(tmpdir(), 'weir-e2e-'));
        const path = `unix:${join(folder, 'inner')}`;
        const top = 'workers: 1\nmodules: [http, tcp, stdio, pool]\n';
        const inner = await startWeir(`${top}listeners: { door: { transport: tcp, framing: ${framing}, listen: ${JSON.stringify(path)}, routes: [{ path: ${framing === 'mux' ? '/mcp' : '/'}, upstream: demo }] } }
upstreams: { demo: ${JSON.stringify({ transport: 'stdio', command: demo.stdio, chain: ['pool'] })} }
`);
        const edge = await startWeir(`${top}listeners: { edge: { transport: http, listen: "127.0.0.1:0", routes: [{ path: /mcp, upstream: inner }] } }
upstreams: { inner: ${JSON.stringify({ transport: 'tcp', framing, servers: [{ address: path }], chain: ['pool'] })} }
`);
        try {
            const session = await openSession(edge.url('edge', '/mcp'));
            const { result } = await session.call('tools/call', { name: 'echo', arguments: { message: 'through a file' } }, 1);
            assert.match(result.content[0].text, /through a file/);
            await session.end();
        } finally {
            await edge.stop();
            await inner.stop();
            rmSync(folder, { recursive: true });
        }
    });

/* ---- what clients pack ---- */

const framed = bytes => {
    const size = Buffer.alloc(4);
    size.writeUInt32BE(bytes.length);
    return Buffer.concat([size, Buffer.from(bytes)]);
};
const hello = rpc('initialize', { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'x', version: '1' } }, 'hello');
const visit = weir => {
    const client = { socket: connect(weir.port('edge'), '127.0.0.1'), text: '', isOver: false };
    client.socket.on('data', bytes => (client.text += bytes.toString('latin1')));
    client.socket.on('error', () => {}).on('close', () => (client.isOver = true));
    return client;
};
const seen = (what, is) =>
    until(
        is,
        () => what
    );
const bytesOf = 64 << 20;
for (const [what, frame, line] of [
    ['that_is_garbage_behind_a_magic', Buffer.from('1f8b0800000000000003deadbeef', 'hex'), /gzip: invalid/],
    ['that_breaks_off', zlib.zstdCompressSync(hello).subarray(0, -2), /zstd: the frame breaks off/],
    ['whose_codec_is_not_there', Buffer.from('04224d18644070df', 'hex'), /neither JSON nor of a codec that is loaded: it begins with 04 22 4d 18/],
    ['that_is_a_bomb_of_gzip', zlib.gzipSync(Buffer.alloc(bytesOf)), /gzip: holds more than max_message \(4194304 bytes\)/],
    ['that_is_a_bomb_of_zstd', zlib.zstdCompressSync(Buffer.alloc(bytesOf)), /zstd: holds more than max_message/],
    [
        'that_is_a_bomb_which_does_not_say_so',
        zlib.zstdCompressSync(Buffer.alloc(bytesOf), { params: { [zlib.constants.ZSTD_c_contentSizeFlag]: 0 } }),
        /zstd: holds more than max_message/
    ]
])
    test(`a_client_that_sends_a_frame_${what}_is_left_and_the_others_are_served`, async () => {
        const weir = await startWeir(
            `log: { level: info, file: stderr }
modules: [tcp, stdio, pool, codec_gzip, codec_zstd]
listeners: { edge: { transport: tcp, framing: length, listen: "127.0.0.1:0", routes: [{ path: /, upstream: demo }] } }
upstreams: { demo: ${JSON.stringify({ transport: 'stdio', command: demo.stdio, chain: ['pool'] })} }
`
        );
        try {
            const bad = visit(weir);
            bad.socket.write(framed(frame));
            await seen('it is left', () => bad.isOver);
            await seen(`the log says why:\n${weir.stderr()}`, () => line.test(weir.stderr()));
            const good = visit(weir);
            good.socket.write(framed(zlib.gzipSync(hello)));
            await seen('others are served, and may pack what they say', () => /"id":"hello"/.test(good.text));
            good.socket.destroy();
        } finally {
            await weir.stop();
        }
    });
