// Every figure that weir shows, made to move by scenes that know the right number. The last test compares what was checked with what there
// is: a new figure that no scene has seen at another number than 0 fails there.
import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { startFake } from './lib/fake.mjs';
import { Moody, call, startTeam } from './lib/moody.mjs';
import { skimMetrics, typed } from './lib/metrics.mjs';
import { connectLink, head, hello, Link, number, open as opening, record, word } from './lib/mux.mjs';
import { run, until } from './lib/process.mjs';
import { Connection, PROTOCOL, openSession, request, rpc } from './lib/raw.mjs';
import { Streamer } from './lib/streams.mjs';
import { binary, renew, repo, startWeir } from './lib/weir.mjs';
import { demo } from './lib/world.mjs';

const seen = new Set(), moved = new Set(); // prettier-ignore

async function look(weir) {
    const text = await (await fetch(weir.admin('/metrics'))).text();
    typed(text).forEach(([name]) => seen.add(name));
    return skimMetrics(text);
}

const family = name => name.replace(/_(sum|count)$/, '');
const shown = value => (typeof value === 'function' ? `what makes ${value} true` : value);
const fits = (is, should) => (typeof should === 'function' ? should(is) : is === should);

function compare(value, labels, expected) {
    for (const [name, should] of Object.entries(expected)) {
        const is = value(name, labels);
        assert.ok(fits(is, should), `${name} ${JSON.stringify(labels)} is ${is} and should be ${shown(should)}`);
        if (is !== 0) moved.add(family(name));
    }
}

/* Now each figure is as expected: { name: number, or what must be true of it }. */
const checks = async (weir, labels, expected) => compare(await look(weir), labels, expected);

/* There is a moment at which all of them are. */
async function becomes(weir, labels, expected) {
    let value;
    const isSo = async () => {
        value = await look(weir);
        return Object.entries(expected).every(([name, should]) => fits(value(name, labels), should));
    };
    const story = () => JSON.stringify(Object.keys(expected).map(name => [name, value(name, labels), shown(expected[name])]));
    await until(isSo, story);
    compare(value, labels, expected);
}

/* Servers with a weir before them, in one upstream `team`, and an end. */
async function scene(count, chain, play, more = {}) {
    const servers = [];
    for (let i = 0; i < count; i++) servers.push(await new Moody().start());
    let weir;
    try {
        weir = await startTeam(servers, { chain, ...more });
        await play({ weir, servers, server: servers[0] });
    } finally {
        servers.forEach(server => server.release());
        await weir?.stop();
        await Promise.all(servers.map(server => server.stop()));
    }
}
/* A configuration in which commands find where it can be asked. */
function asked(weir) {
    const file = join(weir.folder, 'asked.yaml');
    writeFileSync(file, readFileSync(weir.file, 'utf8').replace('"127.0.0.1:0"', JSON.stringify(new URL(weir.admin('/')).host)));
    return file;
}
const team = { upstream: 'team' };
const at = ({ name }, upstream = 'team') => ({ upstream, server: name });

describe('counters', { concurrency: true }, () => {
    test('counters: of exchanges', () =>
        scene(1, [{ pool: { min: 0, max: 1, acquire_timeout: '60s' } }], async ({ weir, server }) => {
            const got = [];
            for (let i = 0; i < 3; i++) got.push(await call(weir));
            const url = weir.url('edge', '/team');
            const body = rpc('tools/call', { name: 'any' }, 1);
            const refused = new Connection(url).send('POST', { 'content-type': 'text/plain' }, body);
            assert.equal((await refused.head()).status, 415);
            refused.close();
            server.mood = 'held';
            const waits = [call(weir), call(weir)];
            await until(() => server.held.length === 1, 'one is at the server');
            await becomes(weir, team, {
                weir_exchanges_total: 5,
                weir_exchanges_in_flight: 2,
                weir_exchanges_waiting: 1,
                weir_exchanges_answered_total: 3,
                weir_exchange_duration_seconds_count: 3,
                weir_links: 1,
                weir_pool_waiting: 1,
                weir_pool_waited_total: 2
            });
            await becomes(weir, {}, { weir_clients: 2, weir_exchanges_total: 1, weir_draining: 0, weir_configuration_generation: 1 });
            await checks(weir, { reason: 'bad_type' }, { weir_exchanges_failed_total: 1 });
            server.release();
            await until(() => server.held.length === 1, 'the other is at the server');
            server.release();
            for (const { status } of await Promise.all(waits)) assert.equal(status, 200);
            const sum = (await weir.status()).upstreams.team.latency.sum_us * 1e-6;
            await checks(weir, team, { weir_exchange_duration_seconds_count: 5, weir_exchange_duration_seconds_sum: is => is > 0 && Math.abs(is - sum) < 1e-9 });
            await checks(weir, at(server), { weir_server_duration_seconds_count: 5, weir_server_weight: 1 });
            await checks(weir, { version: (await weir.status()).version }, { weir_build_info: 1 });
        }));

    test('counters: of bytes', () =>
        scene(1, ['pool'], async ({ weir }) => {
            const connection = new Connection(weir.url('edge', '/team'));
            const bytes = { in: 0, out: 0 };
            connection.socket.on('data', piece => (bytes.out += piece.length));
            for (let i = 0; i < 3; i++) {
                const body = rpc('tools/call', { name: 'x'.repeat(100 * i) }, i);
                bytes.in += Buffer.byteLength(body);
                connection.send('POST', {}, body);
                await connection.head();
                await connection.body();
            }
            await becomes(weir, team, { weir_received_bytes_total: bytes.in, weir_sent_bytes_total: bytes.out });
            connection.close();
        }));

    test('counters: of the process, its sessions and its children', async () => {
        const upstream = { transport: 'stdio', command: demo.stdio, chain: [{ pool: { min: 0 } }] };
        const weir = await startTeam([], { upstreams: { kept: upstream }, chain: ['pool'], upstream: { ...upstream, servers: undefined } });
        const kept = { upstream: 'kept' };
        const sessions = [await openSession(weir.url('edge', '/kept')), await openSession(weir.url('edge', '/kept'))];
        await checks(weir, kept, { weir_sessions: 2, weir_children: 2, weir_links: 2 });
        await sessions[0].end();
        await becomes(weir, kept, { weir_sessions: 1, weir_children: 1, weir_links: 1 });
        await renew(weir);
        await checks(weir, {}, { weir_configuration_generation: 2 });
        const stream = new Connection(weir.url('edge', '/kept')).send('GET', sessions[1].headers);
        assert.equal((await stream.head()).status, 200);
        weir.task.child.kill('SIGQUIT');
        await becomes(weir, {}, { weir_draining: 1, weir_clients: 1 });
        stream.close();
        assert.deepEqual(await weir.task.ended, { code: 0, signal: null });
    });

    test('counters: of a circuit that opens', () =>
        scene(1, [{ breaker: { failure_threshold: 2, timeout: '1h' } }, { pool: { min: 0 } }], async ({ weir, server }) => {
            const state = (...states) => Promise.all(['closed', 'open', 'half_open', 'held_open'].map((name, i) => checks(weir, { ...at(server), state: name }, { weir_breaker_state: states[i] })));
            server.mood = 'failing';
            await call(weir);
            await checks(weir, at(server), { weir_breaker_failures_in_a_row: 1, weir_breaker_failures_total: 1, weir_breaker_opened_total: 0, weir_breaker_retry_in_seconds: 0 });
            await state(1, 0, 0, 0);
            for (let i = 0; i < 4; i++) await call(weir);
            assert.equal(server.calls, 2);
            await checks(weir, team, { weir_breaker_refused_total: 3 });
            await checks(weir, at(server), { weir_breaker_failures_total: 2, weir_breaker_opened_total: 1, weir_breaker_held_total: 0, weir_breaker_retry_in_seconds: is => is > 3500 && is <= 3600 });
            await state(0, 1, 0, 0);
            const file = asked(weir);
            for (const word of ['close', 'open']) assert.equal((await run(binary, ['breaker', word, 'team', '-c', file])).code, 0);
            await checks(weir, at(server), { weir_breaker_held_total: 1, weir_breaker_closed_total: 1 });
            await state(0, 0, 0, 1);
        }));

    test('counters: of a circuit that closes again', () =>
        scene(1, [{ breaker: { failure_threshold: 1, success_threshold: 2, timeout: '50ms' } }, { pool: { min: 0 } }], async ({ weir, server }) => {
            await call(weir, { name: 'failing' });
            server.mood = 'held';
            let probe;
            await until(async () => {
                probe = call(weir);
                return Promise.race([probe.then(() => false), until(() => server.held.length === 1, 'it is at the server').then(() => true)]);
            }, 'a probe is let through');
            await checks(weir, at(server), { weir_breaker_half_opened_total: 1, weir_breaker_probes_total: 1, weir_breaker_probes_in_flight: 1, weir_breaker_probes_succeeded: 0 });
            server.release();
            assert.equal((await probe).status, 200);
            await checks(weir, at(server), { weir_breaker_probes_in_flight: 0, weir_breaker_probes_succeeded: 1, weir_breaker_closed_total: 0 });
            server.mood = 'well';
            assert.equal((await call(weir)).status, 200);
            await checks(weir, at(server), { weir_breaker_probes_total: 2, weir_breaker_closed_total: 1, weir_breaker_opened_total: 1, weir_breaker_failures_total: 1 });
        }));

    test('counters: of a pool', () =>
        scene(2, [{ pool: { min: 0, grow_above: 1, health_check: 0, eject_after: 1000 } }], async ({ weir, servers: [slow, ill] }) => {
            slow.delay = 60;
            ill.mood = 'failing';
            for (let i = 0; i < 4; i++) await call(weir);
            assert.deepEqual([slow.calls, ill.calls], [2, 2]);
            const near = should => is => Math.abs(is - should) < 1e-9;
            await checks(weir, at(slow), {
                weir_pool_requests_total: 2,
                weir_pool_errors_total: 0,
                weir_pool_latency_seconds: is => is > 0.05 && is < 30,
                weir_pool_score_latency: 0,
                weir_pool_score_errors: 1,
                weir_pool_score_age: 1,
                weir_pool_score: near(0.5)
            });
            await checks(weir, at(ill), {
                weir_pool_requests_total: 2,
                weir_pool_errors_total: 2,
                weir_pool_latency_seconds: 0,
                weir_pool_score_latency: 1,
                weir_pool_score_errors: 0,
                weir_pool_score: near(0.7)
            });
            slow.mood = 'held';
            const calls = [];
            while (slow.held.length < 2) calls.push(call(weir)), await until(() => slow.held.length + ill.calls === calls.length + 2, 'it has arrived'); // prettier-ignore
            await checks(weir, at(slow), {
                weir_pool_links: 2,
                weir_pool_busy: 2,
                weir_pool_idle: 0,
                weir_pool_utilisation: 1,
                weir_pool_in_flight: 2,
                weir_pool_opened_total: 2,
                weir_pool_failed_total: 0
            });
            slow.release();
            await Promise.all(calls);
            await becomes(weir, at(slow), { weir_pool_links: 2, weir_pool_busy: 0, weir_pool_idle: 2, weir_pool_utilisation: 0, weir_pool_in_flight: 0 });
        }));

    test('counters: of links that do not come', async () => {
        const silent = net.createServer(() => {}).listen(0, '127.0.0.1'); // takes a connection, and does not shake hands
        await new Promise(resolve => silent.once('listening', resolve));
        const upstreams = Object.fromEntries(Object.entries({ silent: `https://127.0.0.1:${silent.address().port}/mcp`, dead: 'http://127.0.0.1:1/mcp' }).map(([name, url]) => [name, { transport: 'http', servers: [{ url }], chain: [{ pool: { min: 0 } }] }]));
        await scene(
            1,
            ['pool'],
            async ({ weir }) => {
                assert.equal((await call(weir, { path: '/dead' })).reason, 'connect_failed');
                await checks(weir, { upstream: 'dead', server: '127.0.0.1:1' }, { weir_pool_opened_total: 1, weir_pool_failed_total: 1, weir_pool_links: 0 });
                const waits = new Connection(weir.url('edge', '/silent')).send('POST', {}, rpc('tools/call', { name: 'any' }, 1));
                await becomes(weir, { upstream: 'silent', server: `127.0.0.1:${silent.address().port}` }, { weir_pool_connecting: 1, weir_pool_links: 1, weir_pool_idle: 0 });
                waits.close();
            },
            { upstreams }
        );
        silent.close();
    });

    test('counters: of health checks', () =>
        scene(2, [{ pool: { min: 0, health_check: '10ms', eject_after: 1, slow_start: 0 } }], async ({ weir, servers: [well, ill] }) => {
            ill.mood = 'failing';
            let checked;
            await until(async () => {
                const before = ill.checks;
                const value = await look(weir);
                checked = value('weir_pool_checks_total', at(ill));
                return before > 0 && before === ill.checks && checked === before && value('weir_pool_checks_failed_total', at(ill)) === before;
            }, () => `the ill one was checked ${ill.checks} times, and ${checked} are counted`); // prettier-ignore
            ['weir_pool_checks_total', 'weir_pool_checks_failed_total'].forEach(name => moved.add(name));
            await checks(weir, at(ill), { weir_pool_ejected_total: 1, weir_pool_ejected_now: 1 });
            await checks(weir, at(well), { weir_pool_ejected_total: 0, weir_pool_ejected_now: 0, weir_pool_checks_failed_total: 0 });
            ill.mood = 'well';
            await becomes(weir, at(ill), { weir_pool_ejected_total: 1, weir_pool_ejected_now: 0 });
        }));

    test('counters: of links that come and go by the clock', () =>
        scene(1, [{ pool: { min: 3, max: 4, grow_above: 0, shrink_below: 0.3, health_check: 0 } }], async ({ weir, server }) => {
            await becomes(weir, at(server), { weir_pool_links: 3, weir_pool_idle: 3, weir_pool_grown_total: 0 });
            server.mood = 'held';
            const held = call(weir);
            await becomes(weir, at(server), { weir_pool_links: 4, weir_pool_grown_total: 1, weir_pool_opened_total: 4, weir_pool_utilisation: 0.25 });
            server.release();
            await held;
            await becomes(weir, at(server), { weir_pool_links: 3, weir_pool_grown_total: 1, weir_pool_shrunk_total: 1, weir_pool_aged_total: 0 });
        }));

    test('counters: of links that grow old', () =>
        scene(1, [{ pool: { min: 0, max_age: '1ms', grow_above: 1, health_check: 0 } }], async ({ weir, server }) => {
            await call(weir);
            await becomes(weir, at(server), { weir_pool_links: 0, weir_pool_aged_total: 1, weir_pool_opened_total: 1 });
        }));

    /* A session with a server over frames, before which small messages wait for ten seconds and large ones not at all. */
    async function gathering(play) {
        const folder = mkdtempSync(join(tmpdir(), 'weir-e2e-'));
        const server = await new Streamer('length').start(join(folder, 'server')); // of a Unix socket the kernel keeps little
        const weir = await startTeam([server], { modules: ['batch'], chain: [{ pool: { min: 0, health_check: 0 } }, { batch: { max_bytes: 512, max_delay: '10s' } }], upstream: { buffer_limit: '64KiB' } });
        try {
            const url = weir.url('edge', '/team');
            const large = { experimental: { filler: { of: 'x'.repeat(512) } } };
            const hello = await request(url, 'POST', {}, rpc('initialize', { protocolVersion: PROTOCOL, capabilities: large, clientInfo: { name: 'x', version: '1' } }, 1));
            const headers = { 'mcp-session-id': hello.headers['mcp-session-id'] };
            const tell = async method => assert.equal((await request(url, 'POST', headers, rpc(method))).status, 202); // it is on the link by then
            const flushed = async of => {
                for (const [trigger, count] of Object.entries({ bytes: 0, explicit: 0, drain: 0, time: 0, turn: 0, size: 0, ...of })) await checks(weir, { ...team, trigger }, { weir_frames_flushes_total: count });
            };
            await play({ weir, server, url, headers, tell, flushed });
        } finally {
            await weir.stop();
            await server.stop();
            rmSync(folder, { recursive: true });
        }
    }

    test('counters: of what waits when a link closes', () =>
        gathering(async ({ weir, server, url, headers, tell, flushed }) => {
            await flushed({ bytes: 1 });
            await tell('notifications/initialized');
            await tell('notifications/roots/list_changed');
            assert.deepEqual(server.asked, ['initialize'], 'they wait');
            await request(url, 'DELETE', headers);
            await until(() => server.asked.length === 3, 'what waited goes before the link does');
            await becomes(weir, { ...team, trigger: 'drain' }, { weir_frames_flushes_total: 1 });
            await flushed({ bytes: 1, drain: 1 });
            await checks(weir, team, { weir_frames_messages_out_total: 3, weir_frames_batches_out_total: 2 });
        }));

    test('counters: of what waits until the other end takes more', () =>
        gathering(async ({ weir, server, url, headers, tell, flushed }) => {
            server.pause(true);
            const large = request(url, 'POST', headers, rpc('tools/call', { name: 'any', arguments: { of: 'x'.repeat(1 << 20) } }, 2));
            await becomes(weir, team, { weir_frames_batches_out_total: 2 });
            await tell('notifications/initialized');
            await flushed({ bytes: 2 });
            server.pause(false);
            assert.equal((await large).status, 200);
            await until(() => server.asked.length === 3, 'the small one came behind it');
            await flushed({ bytes: 2, explicit: 1 });
            await checks(weir, team, { weir_frames_messages_out_total: 3, weir_frames_batches_out_total: 3 });
        }));

    /* Figures of framing mux, by their short names; of those that are not named it is not asked. */
    const mux = figures => Object.fromEntries(Object.entries(figures).map(([name, value]) => [`weir_tcp_mux_${name}${['links', 'channels', 'queued'].includes(name) ? '' : '_total'}`, value]));
    const linked = address => ({ transport: 'tcp', framing: 'mux', servers: [{ address }], ping_interval: '60s' });
    const onOneLink = [{ pool: { min: 0, max: 1, exchanges_per_link: 1000, health_check: 0, grow_above: 1 } }];
    const edgeTo = (address, upstream = {}) => startTeam([], { chain: onOneLink, upstream: { ...linked(address), ...upstream } });
    const innerBefore = url =>
        startWeir(`workers: 1
log: { level: info, file: stderr }
admin: { listen: "127.0.0.1:0" }
modules: [http, tcp, pool]
listeners: { door: { transport: tcp, framing: mux, max_channels: 2, listen: "127.0.0.1:0", routes: [{ path: /team, upstream: team }] } }
upstreams: { team: ${JSON.stringify({ transport: 'http', servers: [{ url }], chain: [{ pool: { min: 0, health_check: 0 } }] })} }
`);
    const door = { listener: 'door' };

    test('counters: of a link between two weirs, at both ends', async () => {
        const server = await new Moody().start();
        const inner = await innerBefore(server.url);
        let edge = await edgeTo(`127.0.0.1:${inner.port('door')}`);
        try {
            for (let i = 0; i < 3; i++) assert.equal((await call(edge)).status, 200);
            const quiet = { links: 1, channels: 0, opened: 3, cancelled: 0, stalled: 0, pinged: 0, broken: 0 };
            await becomes(edge, team, mux({ ...quiet, queued: 0, moved: 0 }));
            await becomes(inner, door, mux(quiet));
            server.mood = 'held';
            const waits = [call(edge), call(edge), call(edge)];
            await until(() => server.held.length === 2, 'there are two channels');
            await becomes(edge, team, mux({ channels: 2, queued: 1, opened: 5 }));
            await checks(inner, door, mux({ channels: 2, opened: 5 }));
            server.release();
            await until(() => server.held.length === 1, 'the third has one');
            const leaves = new Connection(edge.url('edge', '/team')).send('POST', {}, rpc('ping', undefined, 1));
            await until(() => server.held.length === 2, 'another has come');
            leaves.close();
            await becomes(inner, door, mux({ channels: 1, opened: 7, cancelled: 1 }));
            await becomes(edge, team, mux({ channels: 1, queued: 0, opened: 7, cancelled: 1 }));
            server.release();
            for (const { status } of await Promise.all(waits)) assert.equal(status, 200);
            await edge.stop();
            edge = null;
            await becomes(inner, door, mux({ links: 0, channels: 0, opened: 7, cancelled: 1, broken: 0 }));
        } finally {
            server.release();
            await edge?.stop();
            await inner.stop();
            await server.stop();
        }
    });

    test('counters: of links at an inner weir whose edge does what it should not', async () => {
        const server = await startFake();
        const inner = await innerBefore(`http://127.0.0.1:${server.port}/mcp`);
        try {
            const edge = connectLink(inner.port('door')).say(hello({ window: 1024 }));
            for (let i = 0; i < 3; i++) edge.say(record(0, word.ping));
            await until(() => edge.records.filter(one => one.word === word.pong).length === 3, 'each is answered');
            await checks(inner, door, mux({ links: 1, pinged: 3, stalled: 0 }));
            const meta = { 'io.modelcontextprotocol/protocolVersion': '2026-07-28', 'io.modelcontextprotocol/clientInfo': { name: 'x', version: '1' }, 'io.modelcontextprotocol/clientCapabilities': {} };
            edge.say(opening(1, rpc('tools/call', { name: 'any', _meta: meta }, 1), '/team'));
            const peer = await server.next();
            await peer.request();
            peer.write(`HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 8192\r\n\r\n"${'x'.repeat(4095)}`);
            await becomes(inner, door, mux({ channels: 1, stalled: 1 }));
            peer.write(`${'x'.repeat(4095)}"`);
            edge.say(record(1, word.credit, number(4096)));
            await becomes(inner, door, mux({ channels: 0, stalled: 1, broken: 0 }));
            edge.socket.write('no frame'); // of 1.8 GB
            await edge.closed();
            await becomes(inner, door, mux({ links: 0, broken: 1 }));
        } finally {
            await inner.stop();
            await server.stop();
        }
    });

    /* An inner weir of the test's own: `take(link)` with each link that comes. */
    async function withFakeInner(options, take, play) {
        const links = [];
        const fake = net.createServer(socket => links.push(new Link(socket))).listen(0, '127.0.0.1');
        fake.on('connection', () => take(links.at(-1)));
        await new Promise(resolve => fake.once('listening', resolve));
        const edge = await edgeTo(`127.0.0.1:${fake.address().port}`, options);
        try {
            await play({ edge, links });
        } finally {
            await edge.stop();
            links.forEach(({ socket }) => socket.destroy());
            await new Promise(resolve => fake.close(resolve));
        }
    }
    const isOpening = one => one.word === word.open;

    test('counters: of what an edge had sent on a link that breaks, and what it had not', () =>
        withFakeInner({}, link => link.say(hello({ channels: 1 })), async ({ edge, links }) => {
            const first = call(edge);
            await until(() => links[0]?.records.some(isOpening), 'it has come');
            const second = call(edge);
            await becomes(edge, team, mux({ links: 1, channels: 1, queued: 1, opened: 1, broken: 0, moved: 0 }));
            links[0].socket.destroy();
            assert.equal((await first).reason, 'server_died');
            await until(() => links[1]?.records.some(isOpening), 'the other is on another link');
            await becomes(edge, team, mux({ links: 1, channels: 1, queued: 0, opened: 2, broken: 1, moved: 1 }));
            const answer = '{"jsonrpc":"2.0","id":1,"result":{"resultType":"complete"}}';
            links[1].say(record(1, ...head(200, answer.length, ['Content-Type', 'application/json']), answer));
            assert.equal((await second).status, 200);
            await becomes(edge, team, mux({ links: 1, channels: 0, opened: 2, broken: 1, moved: 1 }));
        }));

    test('counters: of a link that is asked whether it is there, and does not say', () =>
        withFakeInner({ ping_interval: '50ms' }, link => link.say(hello({ channels: 8 })), async ({ edge }) => {
            assert.equal((await call(edge)).reason, 'server_died');
            await becomes(edge, team, mux({ links: 0, channels: 0, opened: 1, pinged: 1, broken: 1, moved: 0 }));
        }));

    test('counters: of a client that stops its channel', () =>
        withFakeInner({}, link => link.say(hello({ channels: 8 })), async ({ edge, links }) => {
            const slow = new Connection(edge.url('edge', '/team')).send('POST', {}, rpc('ping', undefined, 1));
            await until(() => links[0]?.records.some(isOpening), 'it has come');
            slow.pause(true);
            links[0].say(record(1, ...head(200, -1, ['Content-Type', 'application/json'])));
            const value = async () => (await look(edge))('weir_tcp_mux_stalled_total', team);
            for (let said = 0; (await value()) === 0; said++) {
                assert.ok(said < 400, 'it stops at some point');
                links[0].say(record(1, word.data, 'x'.repeat(1 << 16)));
            }
            await checks(edge, team, mux({ channels: 1, stalled: 1 }));
            slow.close();
            await becomes(edge, team, mux({ channels: 1, cancelled: 1 })); // until the inner weir says END
            links[0].say(record(1, word.end));
            await becomes(edge, team, mux({ channels: 0, stalled: 1, broken: 0 }));
        }));

    test('counters: of messages that WebSockets compress, at both ends', async () => {
        const upstream = { transport: 'stdio', command: demo.stdio, chain: [{ pool: { min: 0 } }] };
        const inner = await startWeir(`workers: 1
admin: { listen: "127.0.0.1:0" }
modules: [ws, stdio, pool]
listeners: { door: { transport: ws, permessage_deflate: true, listen: "127.0.0.1:0", routes: [{ path: /, upstream: demo }] } }
upstreams: { demo: ${JSON.stringify(upstream)} }
`);
        const servers = [{ url: `ws://127.0.0.1:${inner.port('door')}/` }];
        const edge = await startTeam([], { chain: [{ pool: { min: 0, health_check: 0 } }], upstream: { transport: 'ws', permessage_deflate: true, servers } });
        try {
            const session = await openSession(edge.url('edge', '/team'));
            const message = 'over and over '.repeat(500);
            for (let id = 0; id < 2; id++) assert.equal((await session.call('tools/call', { name: 'echo', arguments: { message } }, id)).error, undefined);
            const out = (await edge.status()).upstreams.team.transports.ws;
            const back = (await inner.status()).listeners.door.transports.ws;
            const small = is => is > 0 && is < message.length;
            const large = is => is > 2 * message.length && is < 3 * message.length;
            const figures = (mine, other, [sent, came]) => ({
                weir_ws_messages_out_total: sent,
                weir_ws_messages_compressed_total: 2,
                weir_ws_before_compression_bytes_total: large,
                weir_ws_after_compression_bytes_total: is => small(is) && is === other.bytes_in,
                weir_ws_compression_ratio: is => Math.abs(is - mine.bytes_before_compression / mine.bytes_after_compression) < 1e-9,
                weir_ws_messages_in_total: came,
                weir_ws_read_bytes_total: is => small(is) && is === other.bytes_after_compression,
                weir_ws_expanded_bytes_total: is => large(is) && is === other.bytes_before_compression
            });
            await checks(edge, team, figures(out, back, [4, 3]));
            await checks(inner, door, figures(back, out, [3, 4]));
            const { stdout } = await run(binary, ['status', '-c', asked(edge)]);
            assert.match(stdout, new RegExp(`team .* ${out.compression_ratio.toFixed(2).replace('.', '\\.')} `), stdout);
            await session.end();
        } finally {
            await edge.stop();
            await inner.stop();
        }
    });

    describe('counters: of frames', { concurrency: false }, () => {
        const big = 'Lorem ipsum dolor sit amet, '.repeat(100);
        const chains = {
            size: [{ batch: { max_messages: 1 } }],
            bytes: [{ batch: { max_bytes: 512, max_delay: '10s' } }],
            time: [{ batch: { max_delay: '1ms' } }],
            turn: [{ batch: { max_delay: 0 } }, { compress: { codec: 'lz4', min_size: 1000 } }],
            adaptive: [{ batch: { max_messages: 1 } }, { compress: { codec: 'lz4', adaptive: true, min_size: 16, budget: 1 } }]
        };
        const modules = '[http, stdio, tcp, pool, batch, compress, codec_lz4, codec_zstd]';
        const top = `workers: 1\nlog: { level: info, file: stderr }\nadmin: { listen: "127.0.0.1:0" }\nmodules: ${modules}\n`;
        let inner, edge;
        before(async () => {
            inner = await startWeir(`${top}listeners:
  door: { transport: tcp, framing: length, listen: "127.0.0.1:0", chain: [ { batch: { max_messages: 1 } }, compress: { codec: lz4, min_size: 1 } ], routes: [ { path: /, upstream: demo } ] }
upstreams:
  demo: ${JSON.stringify({ transport: 'stdio', command: demo.stdio, chain: [{ pool: { min: 0 } }] })}
`);
            const upstreams = Object.entries(chains).map(([name, chain]) => [name, { transport: 'tcp', framing: 'length', servers: [{ address: `127.0.0.1:${inner.port('door')}` }], chain: [{ pool: { min: 0 } }, ...chain] }]);
            edge = await startWeir(`${top}listeners:
  edge: { transport: http, listen: "127.0.0.1:0", routes: [${upstreams.map(([name]) => `{ path: /${name}, upstream: ${name} }`)}] }
upstreams: ${JSON.stringify(Object.fromEntries(upstreams))}
`);
        });
        after(async () => {
            await edge?.stop();
            await inner?.stop();
        });
        const echoes = async (session, count, message = 'short') => {
            for (let id = 0; id < count; id++) assert.equal((await session.call('tools/call', { name: 'echo', arguments: { message } }, id)).error, undefined);
        };
        const open = name => openSession(edge.url('edge', `/${name}`));
        const flushed = (name, trigger, count) => checks(edge, { upstream: name, trigger }, { weir_frames_flushes_total: count });

        test('counters: of frames on both ends of a link', async () => {
            const door = { listener: 'door' }, turn = { upstream: 'turn' }; // prettier-ignore
            const session = await open('turn');
            await echoes(session, 4, big); // of all that was sent these alone are large enough to be packed
            const value = await look(edge);
            const there = await look(inner);
            const out = value('weir_frames_after_compression_bytes_total', turn);
            const plain = value('weir_frames_before_compression_bytes_total', turn);
            await checks(edge, turn, {
                weir_frames_messages_out_total: 6,
                weir_frames_batches_out_total: 6,
                weir_frames_messages_per_batch: 1,
                weir_frames_compressed_total: 4,
                weir_compress_by_codec_total: 4,
                weir_compress_let_alone_total: 2,
                weir_compress_in_vain_total: 0,
                weir_frames_compression_ratio: is => is > 1 && Math.abs(is - plain / out) < 1e-9,
                weir_frames_before_compression_bytes_total: is => is > 4 * big.length,
                weir_frames_after_compression_bytes_total: is => is < 2 * big.length,
                weir_frames_messages_in_total: 5,
                weir_frames_batches_in_total: 5,
                weir_frames_read_bytes_total: there('weir_frames_after_compression_bytes_total', door),
                weir_frames_expanded_bytes_total: there('weir_frames_before_compression_bytes_total', door)
            });
            await checks(edge, { ...turn, step: 'codec' }, { weir_compress_processes: 1 });
            await checks(edge, { ...turn, step: 'none' }, { weir_compress_processes: 0 });
            await checks(inner, door, {
                weir_frames_messages_in_total: 6,
                weir_frames_batches_in_total: 6,
                weir_frames_read_bytes_total: out,
                weir_frames_expanded_bytes_total: plain,
                weir_frames_messages_out_total: 5,
                weir_compress_by_codec_total: 5,
                weir_compress_in_vain_total: 5 - there('weir_frames_compressed_total', door),
                weir_frames_broken_total: 0
            });
            await flushed('turn', 'turn', 6);
            await session.end();
        });

        test('counters: of frames that no smaller payload is made of', async () => {
            const door = { listener: 'door' };
            const before = await look(inner);
            const session = await open('size');
            await session.call('ping', undefined, 1);
            const value = await look(inner);
            const grew = (name, labels = door) => value(name, labels) - before(name, labels);
            assert.equal(grew('weir_compress_by_codec_total'), 2);
            assert.equal(grew('weir_compress_in_vain_total'), 2 - grew('weir_frames_compressed_total'));
            assert.ok(grew('weir_compress_in_vain_total') >= 1, 'the answer to a ping is too short');
            moved.add('weir_compress_in_vain_total');
            await session.end();
        });

        test('counters: of what ended the waiting, and how long it was', async () => {
            const sessions = [];
            for (const name of ['size', 'time']) {
                const labels = { upstream: name };
                const messages = (await look(edge))('weir_frames_messages_out_total', labels) ?? 0;
                sessions.push(await open(name));
                await echoes(sessions.at(-1), 3);
                await checks(edge, labels, { weir_frames_messages_out_total: messages + 5 });
                await flushed(name, name, (await look(edge))('weir_frames_batches_out_total', labels)); // in time two may meet
                await flushed(name, 'turn', 0);
            }
            await checks(edge, { upstream: 'size' }, { weir_frames_messages_per_batch: 1 });
            await checks(edge, { upstream: 'time' }, { weir_frames_waited_seconds_total: is => is > 0 && is < 60 });
            const url = edge.url('edge', '/bytes');
            const filled = { experimental: { filler: { of: big } } }; // nothing waits for ten seconds: each message is larger than a frame
            const hello = await request(url, 'POST', {}, rpc('initialize', { protocolVersion: PROTOCOL, capabilities: filled, clientInfo: { name: 'x', version: '1' } }, 1));
            assert.equal(hello.status, 200);
            const headers = { 'mcp-session-id': hello.headers['mcp-session-id'] };
            for (let id = 0; id < 2; id++) await request(url, 'POST', headers, rpc('tools/call', { name: 'echo', arguments: { message: big } }, id));
            await flushed('bytes', 'bytes', 3);
            await checks(edge, { upstream: 'bytes' }, { weir_frames_batches_out_total: 3 });
            await request(url, 'DELETE', headers);
            await Promise.all(sessions.map(one => one.end()));
        });

        test('counters: of the codec that is chosen while there is time', async () => {
            const session = await open('adaptive');
            const labels = { upstream: 'adaptive' };
            await until(async () => {
                await echoes(session, 20, big);
                return (await look(edge))('weir_compress_by_dense_total', labels) > 0;
            }, 'the dense codec is in use');
            const value = await look(edge);
            const of = name => value(`weir_${name}_total`, labels);
            assert.equal(of('compress_by_dense') + of('compress_by_codec') + of('compress_let_alone'), of('frames_batches_out'));
            assert.equal(of('compress_by_dense') + of('compress_by_codec') - of('compress_in_vain'), of('frames_compressed'));
            moved.add('weir_compress_by_dense_total');
            await checks(edge, { ...labels, step: 'dense' }, { weir_compress_processes: 1 });
            await session.end();
        });

        test('counters: of frames that are broken', async () => {
            const socket = net.connect(inner.port('door'), '127.0.0.1');
            const payload = Buffer.concat([Buffer.from([0x04, 0x22, 0x4d, 0x18]), Buffer.alloc(28, 0xff)]); // begins like lz4
            socket.write(Buffer.concat([Buffer.from([0, 0, 0, payload.length]), payload]));
            await new Promise(resolve => socket.on('close', resolve).on('error', () => {}).resume());
            await becomes(inner, { listener: 'door' }, { weir_frames_broken_total: 1 });
        });
    });
});

test('counters: there is no figure that no scene has moved', async () => {
    for (const file of readdirSync(join(repo, 'build/modules')).filter(name => name.endsWith('.so'))) {
        const { code, stdout, stderr } = await run(binary, ['modules', file.replace('.so', '')], { cwd: repo });
        assert.equal(code, 0, stderr);
        for (const [, name] of stdout.matchAll(/, (weir_[a-z_]+)$/gm)) seen.add(name);
    }
    assert.deepEqual([...seen].filter(name => !moved.has(name)).sort(), []);
    assert.ok(moved.size > 70, `${moved.size} figures were checked`);
});
