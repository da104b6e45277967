// Processes are killed: only what was in flight in them is lost, they come back, and nothing of theirs is left behind.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { breed, call, child, Connection, demo, descriptors, gone, hold, http, inHouse, isAlive, listen, look, nextEvent, open, pidOf, plan, recorder, release, rpc, servedBy, session, slay, startServer, stdio, textOf, until, wait } from './lib/house.mjs'; // prettier-ignore

let server;
before(async () => {
    server = await startServer(recorder('http'));
});
after(() => server.stop());

/* The sanitizers must let a process die as it would without them. */
const plainDeath = { env: { ASAN_OPTIONS: [process.env.ASAN_OPTIONS, 'handle_segv=0'].filter(Boolean).join(':') } };
const both = more => plan({ http: http(server.url), stdio: stdio(child(), { stop_timeout: '200ms' }) }, more);

/* Held calls of sessions of their own until both workers serve one; by worker. */
async function heldByBothWorkers(house, upstream) {
    const workers = house.workers();
    const byWorker = new Map();
    while (byWorker.size < workers.length) {
        const one = await session(house.url(upstream));
        const held = await hold(one);
        const worker = servedBy(held.stream, workers);
        if (byWorker.has(worker.pid)) held.stream.close();
        else byWorker.set(worker.pid, { worker, one, held });
    }
    return [...byWorker.values()];
}

/* The end of a stream that was cut off in the middle. */
const brokenOff = async stream => {
    await assert.rejects(async () => {
        while ((await stream.event()) !== null);
    }, /connection closed while reading/);
};

for (const [number, name] of [
    [9, 'SIGKILL'],
    [11, 'SIGSEGV']
])
    for (const upstream of ['http', 'stdio'])
        test(
            `${upstream}: a_worker_killed_mid_stream_by_${name}_fails_only_its_own_exchange`,
            inHouse(
                () => both(),
                async house => {
                    const [mine, other] = await heldByBothWorkers(house, upstream);
                    const keeper = house.keeper();
                    process.kill(mine.worker.pid, name);
                    await brokenOff(mine.held.stream);
                    await house.log(`worker/\\d \\(pid ${mine.worker.pid}\\) killed by signal ${number} \\(${name}\\).*; starting it again in 100 ms`);
                    await release(other.one, other.held);
                    await until(() => house.workers().length === 2, 'there are two workers again');
                    const answers = await Promise.all(Array.from({ length: 16 }, () => pidOf(mine.one)));
                    assert.equal(new Set(answers).size, 1, 'its session goes on at its server');
                    assert.ok(!gone(keeper));
                },
                plainDeath
            )
        );

test(
    'a_call_whose_worker_was_killed_is_resumed_at_another',
    inHouse(
        () => both(),
        async house => {
            const [mine] = await heldByBothWorkers(house, 'stdio');
            process.kill(mine.worker.pid, 'SIGKILL');
            await brokenOff(mine.held.stream);
            const again = new Connection(mine.one.url).send('GET', { ...mine.one.headers, 'last-event-id': mine.held.event.id });
            assert.equal((await again.head()).status, 200);
            await release(mine.one, { ...mine.held, stream: again });
            again.close();
        }
    )
);

test(
    'a_worker_that_dies_again_and_again_is_started_later_each_time',
    inHouse(plan({ stdio: stdio(demo) }, { workers: 1 }), async house => {
        for (const ms of [100, 200, 400]) {
            await until(() => house.workers().length === 1, 'there is a worker');
            const [{ pid }] = house.workers();
            process.kill(pid, 'SIGKILL');
            await house.log(`\\(pid ${pid}\\) killed by signal 9 \\(SIGKILL\\); starting it again in ${ms} ms`);
        }
        const one = await session(house.url('stdio')); // waits in the socket's queue for a worker to come
        assert.equal(textOf(await call(one, 'echo', { message: 'back' })), 'back');
    })
);

const allGone = brood =>
    until(
        () => brood.every(gone),
        () => `all are gone; these are not: ${JSON.stringify(brood.filter(one => !gone(one)))}`
    );

/* Opens a session once weir can: its keeper may still be coming. */
const sessionAtLast = url =>
    until(
        () => session(url).catch(() => null),
        () => `a session at ${url}`
    );

for (const how of ['SIGKILL', 'SIGSEGV'])
    test(
        `a_keeper_killed_by_${how}_takes_its_children_along_and_its_clients_hear_of_it`,
        inHouse(
            () => both(),
            async house => {
                const [one, other] = await Promise.all(['stdio', 'http'].map(name => session(house.url(name))));
                const brood = await breed(one);
                const listening = await listen(one);
                const held = await hold(one);
                const { reply } = await wait(house, one);
                const unaffected = await hold(other);

                process.kill(house.keeper().pid, how);

                const failed = await reply;
                assert.equal(failed.status, 502);
                assert.equal(JSON.parse(failed.text).id, 'waiting');
                assert.equal(JSON.parse(failed.text).error.data.reason, 'server_died');
                const last = JSON.parse((await nextEvent(held.stream)).data);
                assert.equal(last.id, held.id);
                assert.equal(last.error.data.reason, 'server_died');
                assert.equal(await held.stream.event(), null);
                await brokenOff(listening); // the client comes back, and is told that its session is over
                await allGone(brood);
                await house.log(`keeper/0 \\(pid \\d+\\) killed by signal .* \\(${how}\\)`);
                const fresh = await sessionAtLast(house.url('stdio'));
                assert.equal((await one.post(rpc('ping', undefined, 1))).status, 404, 'the old session is over');
                assert.notEqual(await pidOf(fresh), brood[0].pid);
                await release(other, unaffected);
            },
            plainDeath
        )
    );

test(
    'of_two_keepers_the_one_that_is_killed_ends_its_own_sessions_only',
    inHouse(
        () => both({ keepers: 2 }),
        async house => {
            const keepers = house.keepers();
            const sessions = [];
            const keeperOf = async one => {
                const server = await pidOf(one);
                const minder = house.minders().find(({ pid }) => pid === look(server).ppid);
                return keepers.find(({ pid }) => pid === minder.ppid);
            };
            while (sessions.length < 2) {
                const one = await session(house.url('stdio'));
                const keeper = await keeperOf(one);
                if (sessions[0]?.keeper.pid !== keeper.pid) sessions.push({ one, keeper });
            }
            const [mine, other] = sessions;
            const held = await hold(other.one);
            process.kill(mine.keeper.pid, 'SIGKILL');
            await until(() => gone(mine.keeper), 'it is gone');
            for (let i = 0; i < 8; i++) await sessionAtLast(house.url('stdio'));
            await until(async () => (await mine.one.post(rpc('ping', undefined, 1))).status === 404, 'its session is over');
            await release(other.one, held);
        }
    )
);

test(
    'a_minder_that_is_killed_takes_along_what_it_minds_and_nothing_else',
    inHouse(
        () => both(),
        async house => {
            const one = await session(house.url('stdio'));
            const [first] = house.minders();
            const other = await session(house.url('stdio'));
            const brood = await breed(one);
            const { reply } = await wait(house, one);
            process.kill(first.pid, 'SIGKILL');
            assert.equal(JSON.parse((await reply).text).error.data.reason, 'server_died');
            await allGone(brood);
            assert.equal((await one.post(rpc('ping', undefined, 1))).status, 404);
            assert.ok(await pidOf(other));
        }
    )
);

/* Kills processes of a weir the hard way and finds that everything has ended. */
const massacre = (choose, times = 1) => async () => {
    for (let i = 0; i < times; i++) await killed(choose);
};
const killed = async choose => {
    const house = await open(both());
    const one = await session(house.url('stdio'));
    const brood = [...(await breed(one)), ...house.all()];
    const held = await hold(one);
    for (const { pid } of choose(house)) process.kill(pid, 'SIGKILL');
    await house.task.exited;
    await until(
        () => !brood.some(isAlive), // whoever inherits them from a dead master may take its time to reap them
        () => `all have ended; these have not: ${JSON.stringify(brood.filter(isAlive))}`
    );
    held.stream.close();
};

const master = house => ({ pid: house.pid });
test('a_master_that_is_killed_takes_all_along', massacre(house => [master(house)]));
test('a_master_and_a_keeper_that_are_killed_take_all_along', massacre(house => [master(house), house.keeper()]));
test('a_keeper_and_then_its_master_take_all_along', massacre(house => [house.keeper(), master(house)], 4)); // the master may be at any point of cleaning up
test('all_of_weir_that_is_killed_at_once_takes_all_along', massacre(house => [master(house), ...house.workers(), house.keeper()]));

test(
    'what_a_server_leaves_behind_is_reaped_while_it_runs',
    inHouse(
        () => both(),
        async house => {
            const one = await session(house.url('stdio'));
            const [, , , daemon] = await breed(one);
            process.kill(daemon.pid, 'SIGKILL');
            await until(() => gone(daemon), 'it is reaped by somebody');
            assert.ok(await pidOf(one));
        }
    )
);

test(
    'murders_and_reloads_cost_no_descriptor',
    inHouse(
        () => both(),
        async house => {
            const of = { master: () => descriptors({ pid: house.pid }), keeper: () => descriptors(house.keeper()) };
            const isQuiet = () =>
                house.workers().length === 2 && house.keeper() && house.minders().length === 0 && house.zombies().length === 0 && !/pidfd/.test(of.keeper());
            /* Somebody dies while a session is open, then all is put in order. */
            const round = async victim => {
                await (await sessionAtLast(house.url('stdio'))).end();
                const one = await sessionAtLast(house.url('stdio'));
                if (victim) slay(victim());
                await sessionAtLast(house.url('stdio'));
                await one.end();
                await until(() => house.workers().length === 2 && house.keeper(), 'all are there');
                await house.reload();
                house.servers().forEach(slay);
                await until(isQuiet, 'there is nobody but us');
            };
            await round();
            const master = of.master();
            await round(() => house.workers()[0]);
            await round(() => house.keeper());
            await round();
            const keeper = of.keeper();
            await round(() => house.workers()[1]);
            await round();
            const isAsBefore = () => of.master().length <= master.length && of.keeper().length <= keeper.length;
            const now = () => JSON.stringify({ master, keeper, now: { master: of.master(), keeper: of.keeper() } }, null, 1);
            await until(isAsBefore, () => `master and keeper have the descriptors they had: ${now()}`);
        }
    )
);
