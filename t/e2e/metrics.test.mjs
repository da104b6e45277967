// /metrics: what Prometheus reads of weir is what /status says, in Prometheus's words and base units.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { Moody, call, startTeam } from './lib/moody.mjs';
import { scrape, typed } from './lib/metrics.mjs';
import { openSession, rpc } from './lib/raw.mjs';
import { demo } from './lib/world.mjs';

/* Two servers of which one fails, and a child: some of everything has happened. */
async function scene(play) {
    const servers = [await new Moody().start(), await new Moody().start()];
    const kept = { transport: 'stdio', command: demo.stdio, chain: ['breaker', { pool: { min: 0 } }, { batch: { max_delay: 0 } }] };
    const chain = [{ breaker: { failure_threshold: 2 } }, { pool: { min: 0 } }];
    let weir;
    try {
        weir = await startTeam(servers, { chain, modules: ['batch'], upstreams: { kept } });
        await play({ weir, servers });
    } finally {
        await weir?.stop();
        await Promise.all(servers.map(server => server.stop()));
    }
}

async function makeTraffic(weir, [good, bad]) {
    bad.mood = 'failing';
    for (let i = 0; i < 8; i++) await call(weir);
    assert.deepEqual([good.calls, bad.calls], [6, 2]);
    const session = await openSession(weir.url('edge', '/kept'));
    await session.post(rpc('tools/call', { name: 'echo', arguments: { message: 'one' } }, 1));
    await session.post(rpc('nothing', {}, 2), { 'content-type': 'text/plain' });
}

test('metrics: what_a_scrape_says_is_what_happened', () =>
    scene(async ({ weir, servers }) => {
        const [good, bad] = servers;
        await makeTraffic(weir, servers);
        const { value } = await scrape(weir);
        const team = { upstream: 'team' }, kept = { upstream: 'kept' }; // prettier-ignore
        const at = ({ name }) => ({ ...team, server: name });
        assert.equal(value('weir_exchanges_total', team), 8);
        assert.equal(value('weir_exchanges_answered_total', team), 8);
        assert.equal(value('weir_exchanges_in_flight', team), 0);
        assert.equal(value('weir_exchanges_total', kept), 3);
        assert.equal(value('weir_exchanges_failed_total', { reason: 'bad_type' }), 1);
        assert.equal(value('weir_sessions', kept), 1);
        assert.equal(value('weir_children', kept), 1);
        assert.equal(value('weir_frames_messages_out_total', kept), 3);
        assert.equal(value('weir_frames_flushes_total', { ...kept, trigger: 'turn' }), 3);
        assert.equal(value('weir_pool_requests_total', at(good)), 6);
        assert.equal(value('weir_pool_errors_total', at(bad)), 2);
        assert.equal(value('weir_pool_score_errors', at(bad)), 0);
        assert.equal(value('weir_breaker_failures_total', at(bad)), 2);
        for (const state of ['closed', 'open', 'half_open', 'held_open']) {
            assert.equal(value('weir_breaker_state', { ...at(bad), state }), Number(state === 'open'));
            assert.equal(value('weir_breaker_state', { ...at(good), state }), Number(state === 'closed'));
        }
        assert.equal(value('weir_breaker_state', { ...kept, server: 'weir-demo', state: 'closed' }), 1);
        assert.equal(value('weir_build_info', { version: (await weir.status()).version }), 1);
    }));

test('metrics: names_and_types_are_as_prometheus_wants_them', () =>
    scene(async ({ weir, servers }) => {
        await makeTraffic(weir, servers);
        const { text, families } = await scrape(weir);
        const names = typed(text);
        assert.equal(new Set(names.map(([name]) => name)).size, names.length, 'all series of a metric stand together');
        for (const [name, type] of names) {
            assert.match(name, /^weir_[a-z_]+$/);
            assert.equal(name.endsWith('_total'), type === 'counter', name);
            assert.doesNotMatch(name, /_(us|ms|micros|millis)(_|$)/);
        }
        for (const { name, help, samples } of families) {
            assert.match(help, /^[A-Z0-9]/, name);
            assert.ok(samples.length > 0, name);
        }
    }));

/* Who answers, what follows from other numbers, sums of what stands below, and what a clock moves between two looks. */
const alone = [
    /\/retry_in_ms$/,
    /^worker\/(slot|pid)$/,
    /\/mean_us$/,
    /\/latency\//, // below
    /\/options\//,
    /\/servers\/[^/]+\/links\//, // one by one
    /\/chain\/pool\/(links|connecting|idle|busy|utilisation|opened|failed)$/
];
/* Series whose names do not follow from where they stand in /status. */
const renamed = Object.entries({
    '^clients$': 'weir_clients',
    '^draining$': 'weir_draining',
    '^worker/generation$': 'weir_configuration_generation',
    '^ROW/exchanges$': 'weir_exchanges_total',
    '^ROW/in_flight$': 'weir_exchanges_in_flight',
    '^ROW/answered$': 'weir_exchanges_answered_total',
    '^ROW/failures/': 'weir_exchanges_failed_total',
    '^ROW/bytes_in$': 'weir_received_bytes_total',
    '^ROW/bytes_out$': 'weir_sent_bytes_total',
    '^ROW/waiting$': 'weir_exchanges_waiting',
    '/frames/bytes_before_compression$': 'weir_frames_before_compression_bytes_total',
    '/frames/bytes_after_compression$': 'weir_frames_after_compression_bytes_total',
    '/frames/batches_compressed$': 'weir_frames_compressed_total',
    '/frames/bytes_in$': 'weir_frames_read_bytes_total',
    '/frames/bytes_in_expanded$': 'weir_frames_expanded_bytes_total',
    '/frames/batches_broken$': 'weir_frames_broken_total',
    '/frames/flushes/': 'weir_frames_flushes_total',
    '/score/total$': 'weir_pool_score'
}).map(([pattern, name]) => [new RegExp(pattern.replace('ROW', '(upstreams/[^/]+|other)')), name]);

/* Every number of /status: [path, value, labels]. */
function* numbers(value, path = [], labels = {}) {
    if (typeof value === 'number' || typeof value === 'boolean') yield [path.join('/'), Number(value), labels];
    if (value === null || typeof value !== 'object') return;
    const of = { upstreams: 'upstream', listeners: 'listener', servers: 'server', circuits: 'server', failures: 'reason', flushes: 'trigger' }[path.at(-1)];
    for (const [key, member] of Object.entries(value)) {
        const name = Array.isArray(value) ? (member.module ?? member.name) : key;
        yield* numbers(member, [...path, name], of ? { ...labels, [of]: name } : labels);
    }
}

test('metrics: every_number_of_status_is_there', () =>
    scene(async ({ weir, servers }) => {
        await makeTraffic(weir, servers);
        const { series } = await scrape(weir);
        const values = new Map(); // of the labels: what series there are
        for (const [key, value] of series) {
            const [name, labels] = [key.slice(0, key.indexOf(' ')), key.slice(key.indexOf(' ') + 1)];
            if (!values.has(labels)) values.set(labels, []);
            values.get(labels).push([name, value]);
        }
        let found = 0;
        for (const [path, value, labels] of numbers(await weir.status())) {
            if (alone.some(pattern => pattern.test(path))) continue;
            const known = renamed.find(([pattern]) => pattern.test(path))?.[1];
            const words = path.split('/').at(-1).replace(/_(us|ms)$/, '');
            const there = values.get(JSON.stringify(Object.entries(labels).sort())) ?? [];
            const scale = path.endsWith('_us') ? 1e-6 : path.endsWith('_ms') ? 1e-3 : 1;
            const close = number => Math.abs(number - value * scale) <= 1e-9 * Math.abs(number);
            const fits = ([name, number]) => (name === known || (!known && name.includes(words))) && close(number);
            assert.ok(there.some(fits), `${path} ${value} among ${JSON.stringify(there)}`);
            found += 1;
        }
        assert.ok(found > 80, `${found} numbers were compared`);
    }));

test('metrics: a_histogram_counts_what_took_up_to_its_bounds', () =>
    scene(async ({ weir, servers }) => {
        await makeTraffic(weir, servers);
        const { families } = await scrape(weir);
        const { upstreams, other } = await weir.status();
        const all = [
            ['weir_exchange_duration_seconds', {}, other.latency],
            ...Object.entries(upstreams).flatMap(([upstream, { latency, servers }]) => [
                ['weir_exchange_duration_seconds', { upstream }, latency],
                ...servers.map(one => ['weir_server_duration_seconds', { upstream, server: one.name }, one.latency])
            ])
        ];
        assert.equal(all.length, 6);
        for (const [name, labels, { sum_us, buckets }] of all) {
            const { type, samples } = families.find(family => family.name === name);
            assert.equal(type, 'histogram');
            const mine = samples.filter(({ labels: { le, ...others } }) => JSON.stringify(others) === JSON.stringify(labels));
            const part = suffix => mine.filter(sample => sample.name === name + suffix);
            const upTo = seconds => Object.entries(buckets).reduce((sum, [us, count]) => sum + (us <= seconds * 1e6 + 0.5 ? count : 0), 0);
            const bounds = part('_bucket').map(({ labels, value }) => [labels.le === '+Inf' ? Infinity : Number(labels.le), value]);
            assert.deepEqual(bounds.map(([le]) => le), [...Array.from({ length: 21 }, (_, i) => 64e-6 * 2 ** i).map(le => Number(le.toPrecision(12))), Infinity]); // prettier-ignore
            for (const [le, value] of bounds) assert.equal(value, upTo(le), `${name} ${le}`);
            assert.equal(part('_count')[0].value, upTo(Infinity));
            assert.ok(Math.abs(part('_sum')[0].value - sum_us * 1e-6) < 1e-9);
        }
        const total = upstreams.team.servers.reduce((sum, { latency }) => sum + Object.values(latency.buckets).reduce((a, b) => a + b, 0), 0);
        assert.equal(total, 8);
    }));

test('metrics: a_label_is_whatever_a_server_is_called', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'weir-metrics-'));
    const name = 'quo"te back\\slash new\nline';
    symlinkSync(demo.stdio[0], join(folder, name));
    const weir = await startTeam([], { chain: ['pool'], upstream: { transport: 'stdio', servers: undefined, command: [join(folder, name)] } });
    try {
        const { value } = await scrape(weir);
        assert.equal(value('weir_server_weight', { upstream: 'team', server: name }), 1);
    } finally {
        await weir.stop();
        rmSync(folder, { recursive: true });
    }
});
