// The pool: which server gets what, and what /status says of it; every number is known beforehand.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Moody, call, modern, shown, startTeam } from './lib/moody.mjs';
import { until } from './lib/process.mjs';
import { Connection } from './lib/raw.mjs';
import { repo } from './lib/weir.mjs';
import { demo, node } from './lib/world.mjs';

/* The server of the fault tests, which holds calls until it is told to let them go. */
const childOf = () => [node, `${repo}/t/fault/servers/child.mjs`];

async function scene(count, pool, play, { weights = [], chain = [], ...more } = {}) {
    const servers = [];
    for (let i = 0; i < count; i++) servers.push(await new Moody().start());
    weights.forEach((weight, i) => (servers[i].options = { weight }));
    let weir;
    try {
        weir = await startTeam(servers, { chain: [...chain, { pool }], ...more });
        await play({ weir, servers });
    } finally {
        servers.forEach(server => server.release());
        await weir?.stop();
        await Promise.all(servers.map(server => server.stop()));
    }
}

async function calls(weir, count, options) {
    for (let i = 0; i < count; i++) assert.equal((await call(weir, options)).status, 200);
}
const shares = servers => servers.map(server => server.calls);

test('pool: round_robin_gives_every_server_the_same', () =>
    scene(3, { strategy: 'round_robin' }, async ({ weir, servers }) => {
        await calls(weir, 30);
        assert.deepEqual(shares(servers), [10, 10, 10]);
    }));

test('pool: weighted_round_robin_gives_by_weight', () =>
    scene(
        3,
        { strategy: 'weighted_round_robin' },
        async ({ weir, servers }) => {
            await calls(weir, 28);
            assert.deepEqual(shares(servers), [20, 4, 4]);
        },
        { weights: [5, 1, 1] }
    ));

test('pool: least_loaded_leaves_a_busy_server_alone', () =>
    scene(2, { strategy: 'least_loaded' }, async ({ weir, servers: [busy, free] }) => {
        busy.mood = 'held';
        const held = call(weir); // equals take turns, and the first is the busy one
        await until(() => busy.held.length === 1, 'the call is at the busy one');
        await calls(weir, 10);
        assert.deepEqual([busy.calls, free.calls], [1, 10]);
        busy.release();
        await held;
    }));

for (const strategy of ['least_latency', 'peak_ewma'])
    test(`pool: ${strategy}_prefers_the_server_that_answers_sooner`, () =>
        scene(
            2,
            { strategy },
            async ({ weir, servers: [slow, fast] }) => {
                slow.delay = 250;
                await calls(weir, 20);
                assert.ok(fast.calls >= 17, `the fast one has ${fast.calls}, the slow one ${slow.calls}`);
                assert.ok(slow.calls >= 1, 'both were tried');
            },
            { modules: ['peak_ewma'] }
        ));

test('pool: hash_sends_the_same_header_to_the_same_server', () =>
    scene(4, { strategy: 'hash', hash_by: 'header', hash_header: 'X-Tenant' }, async ({ weir, servers }) => {
        const owner = async tenant => {
            const before = shares(servers);
            await calls(weir, 3, { headers: { 'x-tenant': tenant } });
            const after = shares(servers).map((count, i) => count - before[i]);
            assert.deepEqual(after.filter(Boolean), [3], `all of ${tenant} go to one server`);
            return after.indexOf(3);
        };
        const owners = new Set();
        for (let i = 0; i < 12; i++) owners.add(await owner(`tenant-${i}`));
        assert.ok(owners.size > 1, 'and not all tenants to the same');
    }));

test('pool: adaptive_turns_to_the_healthy_one_and_shows_its_scores', () =>
    scene(2, { strategy: 'adaptive' }, async ({ weir, servers: [bad, good] }) => {
        for (let i = 0; i < 4; i++) await call(weir, { name: 'failing' });
        assert.deepEqual([bad.calls, good.calls], [2, 2]);
        await calls(weir, 4);
        const { servers, strategy } = await shown(weir, 'pool');
        assert.equal(strategy, 'adaptive');
        for (const server of [bad, good]) {
            const { requests, errors, score, latency_us } = servers[server.name];
            assert.equal(requests, server.calls);
            assert.equal(errors, 2);
            assert.equal(score.errors, 1 - errors / requests);
            assert.equal(score.age, 1);
            assert.equal(score.latency, Math.max(0, 1 - latency_us / 50000));
            assert.ok(Math.abs(score.total - (0.5 * score.latency + 0.3 * score.errors + 0.2 * score.age)) < 1e-9);
        }
    }));

test('pool: the_figures_are_those_of_all_workers_whoever_is_asked', () =>
    scene(
        2,
        { strategy: 'round_robin', min: 0, max: 8, grow_above: 1 },
        async ({ weir, servers }) => {
            servers.forEach(server => (server.mood = 'held'));
            const held = Array.from({ length: 8 }, () => call(weir));
            await until(() => servers[0].held.length + servers[1].held.length === 8, 'all are at the servers');
            for (let i = 0; i < 6; i++) {
                const { links, busy, idle, connecting, waiting, opened, failed } = await shown(weir, 'pool');
                const seen = { links, busy, idle, connecting, waiting, opened, failed };
                assert.deepEqual(seen, { links: 8, busy: 8, idle: 0, connecting: 0, waiting: 0, opened: 8, failed: 0 });
            }
            servers.forEach(server => server.release());
            await Promise.all(held);
            await until(async () => (await shown(weir, 'pool')).busy === 0, 'all links are idle');
            const pool = await shown(weir, 'pool');
            assert.deepEqual([pool.links, pool.idle], [8, 8]);
            for (const server of servers) {
                const { in_flight, requests, errors } = pool.servers[server.name];
                assert.deepEqual({ in_flight, requests, errors }, { in_flight: 0, requests: server.calls, errors: 0 });
            }
        },
        { workers: 3 }
    ));

test('pool: who_waits_is_counted_and_gets_the_next_link_or_pool_full', () =>
    scene(1, { min: 0, max: 1, acquire_timeout: '1s', max_waiting: 2 }, async ({ weir, servers: [server] }) => {
        server.mood = 'held';
        const first = call(weir);
        await until(() => server.held.length === 1, 'the first is at the server');
        const others = [call(weir), call(weir)];
        await until(async () => (await shown(weir, 'pool')).waiting === 2, 'two wait');
        const { status, reason } = await call(weir);
        assert.deepEqual([status, reason], [503, 'pool_full']);
        for (const { reason: why } of await Promise.all(others)) assert.equal(why, 'pool_full');
        const { waiting, waited } = await shown(weir, 'pool');
        assert.deepEqual({ waiting, waited }, { waiting: 0, waited: 3 }); // the first waited for its link to open
        server.release();
        assert.equal((await first).status, 200);
    }));

test('pool: a_server_that_cannot_be_reached_is_counted_and_the_others_serve', () =>
    scene(2, { min: 0 }, async ({ weir, servers: [gone, here] }) => {
        await gone.stop();
        await calls(weir, 6);
        assert.equal(here.calls, 6);
        const { servers, failed } = await shown(weir, 'pool');
        assert.ok(failed >= 1);
        assert.equal(servers[gone.name].failed, failed);
        await gone.again();
    }));

test('pool: a_strategy_that_is_not_there_is_refused_with_those_that_are', async () => {
    await assert.rejects(
        scene(1, { strategy: 'peak_ewma' }, () => {}),
        /there is no strategy peak_ewma.*round_robin.*balancer among `modules:`/
    );
});

const server = async (weir, { name }) => (await shown(weir, 'pool')).servers[name];

test('pool: a_server_that_fails_its_checks_is_left_alone_until_it_is_well_again', () =>
    scene(2, { health_check: '100ms', eject_after: 2, slow_start: '4s' }, async ({ weir, servers: [sick, well] }) => {
        sick.mood = 'failing';
        await until(async () => (await server(weir, sick)).ejected_now === 1, 'it is ejected');
        const { checks, checks_failed, ejected } = await server(weir, sick);
        assert.ok(checks >= 2);
        assert.deepEqual({ checks_failed, ejected }, { checks_failed: checks, ejected: 1 });
        await calls(weir, 6);
        assert.deepEqual([sick.calls, well.calls], [0, 6]);
        sick.mood = 'well';
        await until(async () => (await server(weir, sick)).ejected_now === 0, 'it is back');
        await calls(weir, 6);
        assert.ok(sick.calls <= 2, 'it starts slowly');
        await until(async () => (await calls(weir, 2), sick.calls > 2), 'and comes to its share');
        await until(() => /is left alone after 2 failures in a row, the last: HTTP status 500/.test(weir.stderr()), 'the log says so');
        await until(() => /is well again/.test(weir.stderr()), 'the log says so');
        assert.equal((await weir.status()).upstreams.team.exchanges, sick.calls + well.calls);
    }));

test('pool: a_check_that_hangs_ends_and_counts', () =>
    scene(2, { health_check: '100ms', health_timeout: '50ms', eject_after: 1 }, async ({ weir, servers: [sick, well] }) => {
        sick.mood = 'hanging';
        await until(async () => (await server(weir, sick)).ejected_now === 1, 'it is ejected');
        await calls(weir, 4);
        assert.deepEqual([sick.calls, well.calls], [0, 4]);
    }));

test('pool: a_server_that_is_gone_fails_its_check_and_the_only_one_is_never_ejected', () =>
    scene(1, { health_check: '100ms', eject_after: 1 }, async ({ weir, servers: [only] }) => {
        await only.stop();
        await until(async () => (await server(weir, only)).checks_failed >= 2, 'it is checked');
        assert.equal((await server(weir, only)).ejected_now, 0);
        await only.again();
        await until(async () => (await call(weir)).status === 200, 'it serves again');
    }));

test('pool: exchanges_that_fail_eject_a_server_too', () =>
    scene(2, { eject_after: 3 }, async ({ weir, servers: [sick, well] }) => {
        sick.mood = 'failing';
        for (let i = 0; i < 12; i++) await call(weir);
        assert.deepEqual([sick.calls, well.calls], [3, 9]);
        assert.equal((await server(weir, sick)).ejected, 1);
    }));

test('pool: ten_links_to_a_server_are_there_before_anybody_asks_and_never_more_than_max', () =>
    scene(2, {}, async ({ weir, servers }) => {
        await until(async () => (await shown(weir, 'pool')).idle === 20, 'ten to each');
        await calls(weir, 8);
        const { opened, waited } = await shown(weir, 'pool');
        assert.deepEqual({ opened, waited }, { opened: 20, waited: 0 });
        assert.deepEqual(shares(servers), [4, 4]);
    }));

test('pool: a_process_is_not_started_before_somebody_asks', () =>
    scene(
        1,
        { max: 4 },
        async ({ weir }) => {
            await until(async () => (await shown(weir, 'pool')).idle === 4, 'four connections');
            assert.equal((await weir.status()).upstreams.near.children, 0);
            assert.equal((await call(weir, { name: 'echo', path: '/near' })).status, 200);
            assert.equal((await weir.status()).upstreams.near.children, 1);
        },
        { upstreams: { near: { transport: 'stdio', command: demo.stdio, chain: ['pool'] } } }
    ));

test('pool: a_server_that_closes_links_nobody_uses_is_left_in_peace_until_somebody_asks', () =>
    scene(1, { min: 3, health_check: 0 }, async ({ weir, servers: [only] }) => {
        await until(async () => (await shown(weir, 'pool')).idle === 3, 'they are there');
        only.hangUp();
        await until(async () => (await shown(weir, 'pool')).links === 0, 'they are gone');
        for (let i = 0; i < 40; i++) assert.equal((await shown(weir, 'pool')).opened, 3);
        await calls(weir, 1);
        await until(async () => (await shown(weir, 'pool')).idle === 3, 'and are there again');
    }));

/* These wait more than they do. */
describe('pool, by the clock', { concurrency: true }, () => {
    test('pool: links_are_closed_when_they_are_old_and_opened_again', () =>
        scene(1, { min: 2, max_age: '1s' }, async ({ weir, servers: [only] }) => {
            await calls(weir, 3);
            await until(async () => (await server(weir, only)).aged >= 2, 'links have gone');
            await until(async () => (await server(weir, only)).idle === 2, 'and others are there');
            await calls(weir, 3);
            assert.equal(only.calls, 6);
        }));

    test('pool: links_of_one_age_do_not_go_together', () =>
        scene(1, { min: 20, max_age: '10s', health_check: 0 }, async ({ weir, servers: [only] }) => {
            await until(async () => (await server(weir, only)).idle === 20, 'all are opened at once');
            const gone = async () => (await server(weir, only)).aged;
            await until(async () => (await gone()) % 20 > 0, 'some have gone, and others have not');
        }));

    test('pool: it_grows_before_it_must_and_shrinks_when_it_may', () =>
        scene(1, { min: 1, max: 50, shrink_below: 0.5 }, async ({ weir, servers: [only] }) => {
            only.mood = 'held';
            const held = Array.from({ length: 8 }, () => call(weir));
            await until(async () => (await server(weir, only)).grown >= 2, 'links are opened in advance');
            const { links, busy } = await server(weir, only);
            assert.equal(busy, 8);
            assert.ok(links >= 10);
            only.release();
            await Promise.all(held);
            await until(async () => (await server(weir, only)).shrunk >= 2, 'links that nobody needs are closed', 120_000);
        }));

    test('pool: processes_that_many_share_are_added_when_they_are_full_and_taken_away_when_they_are_not', () =>
        scene(
            1,
            {},
            async ({ weir }) => {
                const near = async () => (await shown(weir, 'pool', 'near')).servers.node;
                const { headers, body } = modern('held');
                const held = Array.from({ length: 9 }, () => new Connection(weir.url('edge', '/near')).send('POST', headers, body));
                await until(async () => (await near()).in_flight === 9, 'all are at the servers');
                await until(async () => (await near()).links >= 3, 'they are spread');
                const { links } = await near();
                assert.ok(links <= 4, `${links} processes carry 9 exchanges, 4 each`);
                held.forEach(client => client.close());
                await until(async () => (await near()).links === 1, 'one is left', 120_000); // one goes in ten seconds
                const { shrunk, opened } = await near();
                assert.equal(shrunk, opened - 1);
            },
            {
                upstreams: {
                    near: { transport: 'stdio', command: childOf(), chain: [{ pool: { exchanges_per_link: 4, max: 8 } }] }
                }
            }
        ));
});
