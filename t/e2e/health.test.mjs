// Health: servers that have told nobody anything are asked, on links of every kind; who does not answer is left alone until it does, by
// every worker, and comes back slowly.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Moody, call, shown, startTeam } from './lib/moody.mjs';
import { Inner } from './lib/mux.mjs';
import { descendants, until } from './lib/process.mjs';
import { Streamer } from './lib/streams.mjs';
import { whileWorkerSleeps } from './lib/weir.mjs';

const makers = { http: () => new Moody(), tcp: () => new Streamer('tcp'), length: () => new Streamer('length'), ws: () => new Streamer('ws'), mux: () => new Inner() };

async function scene(kind, count, pool, play, more) {
    const servers = [];
    for (let i = 0; i < count; i++) servers.push(await makers[kind]().start());
    let weir;
    try {
        weir = await startTeam(servers, { chain: [{ pool: { min: 1, ...pool } }], ...more });
        await play({ weir, servers });
    } finally {
        servers.forEach(server => server.release());
        await weir?.stop();
        await Promise.all(servers.map(server => server.stop()));
    }
}

const server = async (weir, { name }) => (await shown(weir, 'pool')).servers[name];
const isOut = async (weir, one) => (await server(weir, one)).ejected_now === 1;
const said = (weir, line) => until(() => line.test(weir.stderr()), () => `the log says ${line}:\n${weir.stderr()}`); // prettier-ignore
const calls = async (weir, count) => {
    for (let i = 0; i < count; i++) assert.equal((await call(weir)).status, 200);
};

for (const kind of Object.keys(makers)) {
    test(`health: ${kind}: a_server_that_hangs_is_left_alone_until_it_answers_again`, () =>
        scene(kind, 2, { health_check: '100ms', health_timeout: '50ms', eject_after: 2, slow_start: 0 }, async ({ weir, servers: [sick, well] }) => {
            sick.mood = 'hanging';
            await until(() => isOut(weir, sick), 'it is ejected');
            await said(weir, /is left alone after 2 failures in a row, the last: .*no answer within 50 ms/);
            const before = sick.calls;
            await calls(weir, 4);
            assert.deepEqual([sick.calls - before, well.calls], [0, 4]);
            sick.mood = 'well';
            await until(async () => !(await isOut(weir, sick)), 'it is back');
            await until(async () => (await calls(weir, 2), sick.calls > before), 'and has its share again');
            await said(weir, /is well again/);
        }));

    test(`health: ${kind}: a_server_that_goes_away_fails_its_check_and_serves_when_it_is_back`, () =>
        scene(kind, 1, { health_check: '100ms', eject_after: 1 }, async ({ weir, servers: [only] }) => {
            await only.stop();
            await until(async () => (await server(weir, only)).checks_failed >= 1, 'it is asked');
            assert.equal(await isOut(weir, only), false, 'never the only one');
            await only.again();
            await until(async () => (await call(weir)).status === 200, 'it serves again');
        }));
}

test('health: what_one_worker_finds_out_all_know', () =>
    scene(
        'http',
        2,
        { eject_after: 3 },
        async ({ weir, servers: [sick, well] }) => {
            sick.mood = 'failing';
            await until(async () => (await call(weir), await isOut(weir, sick)), 'it is ejected');
            const before = [sick.calls, well.calls];
            assert.ok(before[0] <= 6, `three failures in a row of all workers together, not of each: ${before[0]}`);
            await calls(weir, 20); // each on a connection of its own, to whichever worker
            assert.deepEqual([sick.calls - before[0], well.calls - before[1]], [0, 20]);
            await said(weir, /is left alone/);
            assert.equal(weir.stderr().match(/is left alone/g).length, 1);
        },
        { workers: 4 }
    ));

/* These wait more than they do. */
describe('health, by the clock', { concurrency: true }, () => {
    for (const kind of Object.keys(makers).filter(kind => kind !== 'mux')) // of an inner weir it is not its era that is asked for
        test(`health: ${kind}: who_is_asked_is_spoken_to_in_its_own_era`, () =>
            scene(kind, 1, { health_check: '100ms' }, async ({ weir, servers: [only] }) => {
                await until(() => only.asked.length >= 2, 'it is asked');
                assert.deepEqual([...new Set(only.asked)], ['server/discover']);
                only.mood = 'legacy';
                await until(() => only.asked.slice(-2).join() === 'ping,ping', 'it is asked otherwise');
                const { checks, checks_failed } = await server(weir, only);
                assert.ok(checks > 0);
                assert.equal(checks_failed, 0, 'a server that refuses a question is well');
            }));

    test('health: one_worker_asks_for_all', () =>
        scene(
            'http',
            1,
            { health_check: '1s' },
            async ({ weir, servers: [only] }) => {
                const began = Date.now();
                await until(() => only.checks >= 4, 'it is asked again and again');
                const most = (Date.now() - began) / 900 + 2;
                assert.ok(only.checks <= most, `${only.checks} checks, where one process would have made at most ${most}`);
            },
            { workers: 4 }
        ));
});

test('health: a_server_that_is_busy_answering_is_not_asked', () =>
    scene('http', 1, { health_check: '1s' }, async ({ weir, servers: [only] }) => {
        let longest = 0; // between two answers; who is silent for long is asked
        for (let last = Date.now(), end = last + 3000; last < end; ) {
            await calls(weir, 1);
            longest = Math.max(longest, Date.now() - last);
            last = Date.now();
        }
        assert.ok(only.checks === 0 || longest > 900, `${only.checks} checks, and never more than ${longest} ms without an answer`);
    }));

test('health: a_link_that_is_closed_as_it_is_asked_on_says_nothing_of_its_server', () =>
    scene('http', 2, { min: 0, health_check: '1s', eject_after: 1 }, async ({ weir, servers: [one, other] }) => {
        await calls(weir, 2); // a link to each
        const [worker] = descendants(weir.pid).filter(({ command }) => command.startsWith('weir: worker/'));
        for (let i = 0; i < 4; i++) {
            await calls(weir, 2);
            await whileWorkerSleeps(weir, async () => {
                one.hangUp();
                other.hangUp();
                await new Promise(resolve => setTimeout(resolve, 2000)); // what the worker finds when it wakes: all is due
            });
        }
        await calls(weir, 2);
        assert.equal(descendants(weir.pid).filter(({ pid }) => pid === worker.pid).length, 1, 'the worker lives');
        const { servers } = await shown(weir, 'pool');
        assert.deepEqual([servers[one.name].checks_failed, servers[other.name].checks_failed], [0, 0]);
    }));

test('health: a_process_that_hangs_is_replaced', () =>
    scene(
        'http',
        1,
        {},
        async ({ weir }) => {
            const near = async () => (await shown(weir, 'pool', 'near')).servers.sh;
            await until(async () => (await near()).checks_failed >= 1, 'it is asked');
            await until(async () => (await near()).opened >= 2, 'another one is started');
            await said(weir, /pool: near\/sh: a health check failed: no answer within 100 ms/);
        },
        { upstreams: { near: { transport: 'stdio', command: ['sh', '-c', 'cat >/dev/null'], chain: [{ pool: { min: 1, health_check: '1s', health_timeout: '100ms' } }] } } }
    ));
