// What a call costs that no clock has to measure: once weir is warm, none of its processes asks malloc for anything.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startEcho } from './lib/fake.mjs';
import { run } from './lib/process.mjs';
import { Connection, openSession, rpc } from './lib/raw.mjs';
import { binary, here, startWeir } from './lib/weir.mjs';
import { configure, demo, overHttp, overStdio, waysThroughWeir } from './lib/world.mjs';

const WARM = 100;
const CALLS = 400;

const folder = mkdtempSync(join(tmpdir(), 'weir-allocations-'));
const counts = join(folder, 'counts');
const library = join(folder, 'allocations.so');
const allocations = () => Number(readFileSync(counts).readBigUInt64LE());
const world = {};

/* A sanitizer has a malloc of its own. */
const isSanitized = async () => /lib[atu]b?san/.test((await run('ldd', [binary])).stdout);

before(async () => {
    if (waysThroughWeir.length === 0 || (world.isSanitized = await isSanitized())) return;
    writeFileSync(counts, Buffer.alloc(8));
    const built = await run('cc', ['-shared', '-fPIC', '-O1', '-o', library, join(here, 'preload/allocations.c')]);
    assert.equal(built.code, 0, built.stderr);
    world.echo = await startEcho();
    const upstreams = { http: overHttp(`http://127.0.0.1:${world.echo.port}/mcp`), stdio: overStdio(demo.stdio) };
    world.weir = await startWeir(configure(upstreams), { env: { LD_PRELOAD: library, ALLOCATIONS: counts } });
});
after(async () => {
    await world.echo?.stop();
    await world.weir?.stop();
    rmSync(folder, { recursive: true });
});

/* So many calls, one after the other, on one connection. */
async function callOften(connection, headers, often, call = id => ({ name: 'add', arguments: { a: id, b: 1 } })) {
    for (let id = 0; id < often; id++) {
        connection.send('POST', headers, rpc('tools/call', call(id), id));
        const head = await connection.head();
        const text = await connection.reply(head);
        assert.equal(head.status, 200, text);
    }
}

describe('a call', () => {
    for (const way of waysThroughWeir)
        test(`${way}: a_call_allocates_nothing_once_weir_is_warm`, async scene => {
            if (world.isSanitized) return scene.skip('a sanitizer has a malloc of its own');
            const url = world.weir.url('edge', `/${way}`);
            const { headers } = way === 'stdio' ? await openSession(url) : { headers: {} };
            const connection = new Connection(url);
            await callOften(connection, headers, WARM);
            const before = allocations();
            assert.ok(before > 0, 'allocations are counted');
            await callOften(connection, headers, CALLS);
            /* A few may have to do with something else: a log line's time, say. */
            const per = (allocations() - before) / CALLS;
            assert.ok(per < 0.1, `${per} allocations per call`);
            connection.close();
        });
});

/* Both weirs are counted. */
for (const [framing, codec] of ['length', 'mux'].flatMap(framing => ['lz4', 'zstd', 'gzip'].map(codec => [framing, codec])))
    test(`a_call_over_two_weirs_that_gather_and_pack_allocates_nothing_once_they_are_warm (${framing}, ${codec})`, async scene => {
        if (waysThroughWeir.length === 0 || world.isSanitized) return scene.skip('a sanitizer has a malloc of its own');
        const chain = [{ batch: { max_delay: 0 } }, { compress: { codec, min_size: 16 } }];
        const top = { workers: 1, modules: ['http', 'tcp', 'pool', 'stdio', 'batch', 'compress', 'codec_lz4', 'codec_zstd', 'codec_gzip'], admin: { listen: '127.0.0.1:0' } };
        const env = { LD_PRELOAD: library, ALLOCATIONS: counts };
        const serve = (listener, upstream) =>
            startWeir(JSON.stringify({ ...top, listeners: { edge: { listen: '127.0.0.1:0', ...listener, routes: [{ path: framing === 'mux' || listener.transport === 'http' ? '/mcp' : '/', upstream: 'up' }] } }, upstreams: { up: upstream } }), { env });
        const inner = await serve({ transport: 'tcp', framing, chain }, { transport: 'stdio', command: demo.stdio, chain: ['pool'] });
        const edge = await serve({ transport: 'http' }, { transport: 'tcp', framing, servers: [{ address: `127.0.0.1:${inner.port('edge')}` }], chain: ['pool', ...chain] });
        try {
            const url = edge.url('edge', '/mcp');
            const { headers } = await openSession(url);
            const connection = new Connection(url);
            const call = id => ({ name: 'echo', arguments: { message: `${id} `.repeat(200) } });
            await callOften(connection, headers, WARM, call);
            const packed = async () => (await edge.status()).upstreams.up.frames.batches_compressed;
            const were = await packed();
            const before = allocations();
            await callOften(connection, headers, CALLS, call);
            const per = (allocations() - before) / CALLS;
            assert.ok(per < 0.1, `${per} allocations per call`);
            assert.ok((await packed()) - were >= CALLS / 2, `${(await packed()) - were} of ${CALLS} were packed`);
            connection.close();
        } finally {
            await edge.stop();
            await inner.stop();
        }
    });
