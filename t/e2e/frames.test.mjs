// Link modules: messages share what is written to a server, counted in /status; where they cannot work, the configuration says why.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { run } from './lib/process.mjs';
import { openSession } from './lib/raw.mjs';
import { binary, startWeir } from './lib/weir.mjs';
import { demo } from './lib/world.mjs';

const text = (chain, { upstream = {}, listener = {} } = {}) => `log: { level: info, file: stderr }
admin: { listen: "127.0.0.1:0" }
modules: [http, stdio, pool, batch, compress, codec_lz4]
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
const refused = {
    'batch before the pool': [['batch', 'pool'], {}, /:7:\d+: upstream demo: batch works on links and must stand after the module that owns them \(pool\)/],
    'two that gather': [['pool', 'batch', 'batch'], {}, /upstream demo: batch stands after batch, and only one module of a chain gathers/],
    'compress towards a child': [['pool', 'compress'], {}, /upstream demo: compress cannot work on transport stdio: a child reads plain lines/],
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
