// Circuits: what a server's failures do to those who come after, counted at the server, at the client and in /status.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Moody, call, modern, shown, startTeam } from './lib/moody.mjs';
import { descendants, run, until } from './lib/process.mjs';
import { Connection, openSession, rpc } from './lib/raw.mjs';
import { binary } from './lib/weir.mjs';
import { demo } from './lib/world.mjs';

/* A scene: its servers, a weir before them with this breaker, and an end. */
async function scene(options, play, { count = 1, ...more } = {}) {
    const servers = [];
    for (let i = 0; i < count; i++) servers.push(await new Moody().start());
    let weir;
    try {
        weir = await startTeam(servers, { chain: [{ breaker: options }, { pool: { min: 0, max: 64 } }], ...more });
        await play({ weir, servers, server: servers[0] });
    } finally {
        servers.forEach(server => server.release());
        await weir?.stop();
        await Promise.all(servers.map(server => server.stop()));
    }
}

const circuit = async (weir, { name }) => (await shown(weir, 'breaker')).circuits[name];

/* The log has come to say so, and says it once. */
async function isTold(weir, what) {
    const told = () => weir.stderr().match(new RegExp(`breaker: team/.*: ${what}`, 'g'))?.length ?? 0;
    await until(() => told() > 0, () => `the log says ${what}:\n${weir.stderr()}`); // prettier-ignore
    assert.equal(told(), 1);
}

/* So many calls, one after the other; what they got. */
async function calls(weir, count, options) {
    const got = [];
    for (let i = 0; i < count; i++) got.push(await call(weir, options));
    return got;
}
const statuses = got => got.map(({ status }) => status);

for (const workers of [1, 3])
    test(`breaker: the_fifth_failure_opens_the_circuit_for_everybody (${workers} workers)`, () =>
        scene(
            {},
            async ({ weir, server }) => {
                server.mood = 'failing';
                assert.deepEqual(statuses(await calls(weir, 5)), [500, 500, 500, 500, 500]);
                for (const { status, reason, error, headers } of await calls(weir, 10)) {
                    assert.equal(status, 503);
                    assert.equal(reason, 'breaker_open');
                    assert.equal(error.code, -32000);
                    assert.ok(['30', '29', '28'].includes(headers['retry-after']), headers['retry-after']);
                }
                assert.equal(server.calls, 5);
                const { state, failures, opened, half_opened, closed, cause } = await circuit(weir, server);
                const seen = { state, failures, opened, half_opened, closed, cause };
                assert.deepEqual(seen, { state: 'open', failures: 5, opened: 1, half_opened: 0, closed: 0, cause: 'HTTP status 500' });
                assert.equal((await shown(weir, 'breaker')).refused, 10);
                const { upstreams } = await weir.status();
                assert.equal(upstreams.team.failures.breaker_open, 10);
                await isTold(weir, 'closed -> open: 5 failures in a row, the last: HTTP status 500');
            },
            { workers }
        ));

const failures = {
    failing: ['HTTP status 500', 500, undefined],
    alien: ['a reply that is not MCP', 200, undefined],
    garbled: ['bad_reply', 502, 'bad_reply'],
    dying: ['server_died', 502, 'server_died'],
    hanging: ['timeout', 504, 'timeout']
};
for (const [mood, [cause, status, reason]] of Object.entries(failures))
    test(`breaker: a_server_that_is_${mood}_fails`, () =>
        scene(
            { failure_threshold: 2 },
            async ({ weir, server }) => {
                for (const got of await calls(weir, 2, { name: mood })) assert.deepEqual([got.status, got.reason], [status, reason]);
                assert.equal((await call(weir)).reason, 'breaker_open');
                assert.equal((await circuit(weir, server)).cause, cause);
                assert.equal(server.calls, 2);
            },
            mood === 'hanging' ? { upstream: { reply_timeout: '200ms' } } : {}
        ));

test('breaker: a_server_that_cannot_be_reached_fails_and_is_not_connected_to_while_its_circuit_is_open', () =>
    scene({ failure_threshold: 3 }, async ({ weir, server }) => {
        await server.stop();
        for (const { status, reason } of await calls(weir, 3)) assert.deepEqual([status, reason], [502, 'connect_failed']);
        for (const { reason } of await calls(weir, 3)) assert.equal(reason, 'breaker_open');
        const { state, failures: count, cause } = await circuit(weir, server);
        assert.deepEqual({ state, count, cause }, { state: 'open', count: 3, cause: 'connect_failed' });
        assert.equal((await shown(weir, 'pool')).failed, 3);
        await server.again();
    }));

test('breaker: an_error_result_is_a_success_and_so_is_what_the_client_did_wrong', () =>
    scene({ failure_threshold: 2 }, async ({ weir, server }) => {
        await calls(weir, 1, { name: 'failing' });
        for (const { status, error } of await calls(weir, 4, { name: 'refusing' })) assert.deepEqual([status, error.code], [200, -32603]);
        await calls(weir, 1, { name: 'failing' });
        assert.equal((await call(weir)).status, 200);
        assert.equal((await circuit(weir, server)).state, 'closed');
    }));

test('breaker: a_client_that_leaves_is_neither', () =>
    scene({ failure_threshold: 1 }, async ({ weir, server }) => {
        server.mood = 'held';
        const { headers, body } = modern('any');
        const client = new Connection(weir.url('edge', '/team')).send('POST', headers, body);
        await until(() => server.calls === 1, 'the call has reached the server');
        client.cut();
        await until(() => server.present === 0, 'the server hears that nobody waits');
        await until(async () => (await weir.status()).upstreams.team.in_flight === 0, 'the exchange has ended');
        const { state, failures: count } = await circuit(weir, server);
        assert.deepEqual({ state, count }, { state: 'closed', count: 0 });
    }));

test('breaker: of_many_that_come_half_open_exactly_one_goes_through', () =>
    scene(
        { failure_threshold: 1, timeout: '50ms' },
        async ({ weir, server }) => {
            await calls(weir, 1, { name: 'failing' });
            server.mood = 'held';
            server.most = server.calls = 0;
            const due = async () => (await circuit(weir, server)).retry_in_ms === 0;
            await until(due, 'the circuit is due');
            const many = Array.from({ length: 40 }, () => call(weir));
            const refused = [];
            many.forEach(one => one.then(got => got.status === 503 && refused.push(got)));
            await until(() => refused.length === 39, () => `39 are refused, and not ${refused.length}`);
            refused.forEach(({ reason, headers }) => assert.deepEqual([reason, headers['retry-after']], ['breaker_open', '1']));
            const { state, probes_in_flight } = await circuit(weir, server);
            assert.deepEqual({ state, probes_in_flight }, { state: 'half_open', probes_in_flight: 1 });
            server.mood = 'well';
            server.release();
            assert.equal((await Promise.all(many)).filter(({ status }) => status === 200).length, 1);
            assert.deepEqual([server.calls, server.most], [1, 1]);
            assert.equal((await call(weir)).status, 200);
            const { state: after, probes, half_opened, closed } = await circuit(weir, server);
            assert.deepEqual({ after, probes, half_opened, closed }, { after: 'closed', probes: 2, half_opened: 1, closed: 1 });
            await isTold(weir, 'open -> half-open');
            await isTold(weir, 'half-open -> closed');
        },
        { workers: 4 }
    ));

test('breaker: a_probe_that_fails_opens_the_circuit_again', () =>
    scene({ failure_threshold: 1, timeout: '50ms' }, async ({ weir, server }) => {
        server.mood = 'failing';
        await calls(weir, 1);
        await until(async () => (await circuit(weir, server)).retry_in_ms === 0, 'the circuit is due');
        assert.equal((await call(weir)).status, 500);
        const { state, opened, half_opened } = await circuit(weir, server);
        assert.deepEqual({ opened, half_opened }, { opened: 2, half_opened: 1 });
        assert.equal(state, 'open');
        await isTold(weir, 'half-open -> open: the probe failed .HTTP status 500.');
    }));

test('breaker: a_worker_killed_with_its_probe_does_not_block_the_circuit', () =>
    scene({ failure_threshold: 1, timeout: '50ms' }, async ({ weir, server }) => {
        await calls(weir, 1, { name: 'failing' });
        await until(async () => (await circuit(weir, server)).retry_in_ms === 0, 'the circuit is due');
        server.mood = 'held';
        const probe = call(weir).catch(() => null);
        await until(() => server.held.length === 1, 'the probe is at the server');
        const worker = descendants(weir.task.pid).find(({ command }) => command.includes('worker'));
        process.kill(worker.pid, 'SIGKILL');
        await probe;
        server.mood = 'well';
        await until(async () => (await call(weir).catch(() => ({}))).status === 200, 'a new worker probes');
        assert.equal((await call(weir)).status, 200);
        assert.equal((await circuit(weir, server)).state, 'closed');
    }));

test('breaker: an_open_circuit_survives_a_reload', () =>
    scene({ failure_threshold: 2 }, async ({ weir, server }) => {
        await calls(weir, 2, { name: 'failing' });
        process.kill(weir.task.pid, 'SIGHUP');
        await weir.task.seen(/ready: .*configuration 2\)/);
        for (const { reason } of await calls(weir, 3)) assert.equal(reason, 'breaker_open');
        assert.equal(server.calls, 2);
        assert.equal((await circuit(weir, server)).opened, 1);
    }));

test('breaker: of_two_servers_the_one_that_works_gets_all', () =>
    scene(
        { failure_threshold: 3 },
        async ({ weir, servers: [bad, good] }) => {
            bad.mood = 'failing';
            const got = statuses(await calls(weir, 20));
            assert.equal(got.filter(status => status === 500).length, 3);
            assert.deepEqual([bad.calls, good.calls], [3, 17]);
            assert.equal((await circuit(weir, good)).state, 'closed');
        },
        { count: 2 }
    ));

/* `weir ARGUMENTS`, said to the running one. */
async function say(weir, ...args) {
    const file = join(weir.folder, 'say.yaml');
    writeFileSync(file, readFileSync(weir.file, 'utf8').replace(/admin: .*/, `admin: { listen: "${new URL(weir.admin('/')).host}" }`));
    return run(binary, [...args, '-c', file]);
}

test('breaker: by_hand_a_circuit_opens_and_stays_so_until_it_is_closed_by_hand', () =>
    scene(
        { timeout: '1ms' },
        async ({ weir, servers: [one, other] }) => {
            assert.equal((await say(weir, 'breaker', 'open', `team/${one.name}`)).output, '');
            assert.deepEqual(statuses(await calls(weir, 6)), [200, 200, 200, 200, 200, 200]);
            assert.deepEqual([one.calls, other.calls], [0, 6]);
            assert.equal((await circuit(weir, one)).state, 'held_open');
            assert.equal((await say(weir, 'breaker', 'open', 'team')).code, 0);
            const [{ status, reason, headers }] = await calls(weir, 1);
            assert.deepEqual([status, reason, headers['retry-after']], [503, 'breaker_open', '1']);
            assert.equal((await say(weir, 'breaker', 'close', 'team')).code, 0);
            assert.deepEqual(statuses(await calls(weir, 2)), [200, 200]);
            assert.equal(one.calls + other.calls, 8);
            await until(() => weir.stderr().match(/opened by hand/g)?.length === 2, () => `the log tells of both:\n${weir.stderr()}`); // prettier-ignore
        },
        { count: 2, workers: 2 }
    ));

test('breaker: what_is_said_wrongly_by_hand_is_told', () =>
    scene({}, async ({ weir, server }) => {
        const refused = async (pattern, ...args) => {
            const { code, stderr } = await say(weir, ...args);
            assert.equal(code, 1);
            assert.match(stderr, pattern);
        };
        await refused(/no command shut; there are open and close/, 'breaker', 'shut', 'team');
        await refused(/there is no upstream tema/, 'breaker', 'open', 'tema');
        await refused(/upstream team has no server 10\.0\.0\.1:1/, 'breaker', 'open', 'team/10.0.0.1:1');
        await refused(/upstream team has no bracker in its chain that takes commands/, 'bracker', 'open', 'team');
        const url = weir.admin('/modules/breaker/open/team');
        assert.equal((await fetch(url)).status, 404);
        assert.equal((await fetch(url, { method: 'POST', headers: { origin: 'https://evil.example' } })).status, 403);
        assert.equal((await circuit(weir, server)).state, 'closed');
    }));

test('breaker: a_stdio_server_that_dies_opens_its_circuit_in_the_keeper', async () => {
    const dying = {
        transport: 'stdio',
        command: ['/bin/sh', '-c', 'read line; exit 3'],
        chain: [{ breaker: { failure_threshold: 2 } }, { pool: { min: 0, max: 4 } }]
    };
    await scene(
        {},
        async ({ weir }) => {
            const hello = { path: '/dying', headers: {} };
            const initialize = rpc('initialize', { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'x', version: '1' } }, 1);
            const ask = async () => {
                const connection = new Connection(weir.url('edge', hello.path)).send('POST', { connection: 'close' }, initialize);
                const head = await connection.head();
                return { ...head, ...JSON.parse(await connection.body()) };
            };
            for (let i = 0; i < 2; i++) assert.equal((await ask()).error.data.reason, 'server_died');
            const { status, headers, error } = await ask();
            assert.equal(error.data.reason, 'breaker_open');
            assert.equal(status, 503);
            assert.ok(['29', '30'].includes(headers['retry-after']), headers['retry-after']);
            const { circuits } = await shown(weir, 'breaker', 'dying');
            const [{ state, failures: count }] = Object.values(circuits);
            assert.deepEqual({ state, count }, { state: 'open', count: 2 });
        },
        { upstreams: { dying } }
    );
});

test('breaker: another_upstream_of_another_transport_stands_in_while_the_circuit_is_open', async () => {
    const spare = { transport: 'stdio', command: demo.stdio, chain: [{ pool: { min: 0, max: 4 } }] };
    await scene(
        { failure_threshold: 1, timeout: '100ms' },
        async ({ weir, server }) => {
            await calls(weir, 1, { name: 'failing' });
            // a session begun there stays there, also when the first is well again
            const session = await openSession(weir.url('edge', '/team'));
            assert.equal(session.result.serverInfo.name, 'weir-demo');
            await until(async () => (await circuit(weir, server)).retry_in_ms === 0, 'the circuit is due');
            assert.deepEqual(statuses(await calls(weir, 2)), [200, 200]);
            assert.equal((await circuit(weir, server)).state, 'closed');
            const { tools } = (await session.call('tools/list')).result;
            assert.ok(tools.some(({ name }) => name === 'echo'), JSON.stringify(tools));
            await session.end();
            const { upstreams } = await weir.status();
            assert.equal(upstreams.team.failures.breaker_open, 1);
            assert.ok(upstreams.spare.answered >= 2);
            assert.equal(server.calls, 3);
        },
        { upstream: { fallback: 'spare' }, upstreams: { spare } }
    );
});

test('breaker: a_server_that_is_the_fallback_serves_only_while_no_other_may', async () => {
    const servers = [await new Moody().start(), await new Moody().start()];
    const [first, second] = servers;
    const chain = [{ breaker: { failure_threshold: 1 } }, { pool: { min: 0 } }];
    const weir = await startTeam(servers, { chain, upstream: { fallback: second.name } });
    try {
        await calls(weir, 4);
        assert.deepEqual([first.calls, second.calls], [4, 0]);
        first.mood = 'failing';
        assert.deepEqual(statuses(await calls(weir, 4)), [500, 200, 200, 200]);
        assert.deepEqual([first.calls, second.calls], [5, 3]);
    } finally {
        await weir.stop();
        await Promise.all(servers.map(server => server.stop()));
    }
});

test('breaker: a_fallback_that_is_not_there_is_refused', async () => {
    const refused = async (fallback, pattern) => assert.rejects(scene({}, () => {}, { upstream: { fallback } }), pattern);
    await refused('nowhere', /fallback: nowhere is neither an upstream nor a server of team/);
    await refused('team', /fallback: upstream team cannot stand in for itself/);
});
