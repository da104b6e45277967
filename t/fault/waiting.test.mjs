// Ten thousand who wait for a few links: memory is bounded, each gets its own answer or is told that the pool is full, once.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { call, modern, Moody, shown, startTeam } from '../e2e/lib/moody.mjs';
import { descendants, look, until } from '../e2e/lib/process.mjs';
import { Connection } from '../e2e/lib/raw.mjs';

const CROWD = 10_000;

async function scene(pool, play) {
    const server = await new Moody().start();
    let weir;
    try {
        weir = await startTeam([server], { chain: [{ pool: { min: 0, health_check: 0, ...pool } }] });
        await play({ weir, server });
    } finally {
        server.release();
        await weir?.stop();
        await server.stop();
    }
}

const residentOf = weir => Math.max(...descendants(weir.pid).filter(({ command }) => command.startsWith('weir: worker/')).map(({ pid }) => look(pid).resident));

const statuses = { answered: 200, pool_full: 503, server_died: 502, connect_failed: 502 };

/* One request each, told apart by its id: what has come of it, once it has. They come in groups: who connects and says nothing for
 * long is sent away. */
async function crowd(weir) {
    const fates = new Map();
    const clients = [];
    const { headers, body } = modern('any');
    const play = async (client, i) => {
        const head = await client.head();
        const { id, result, error } = JSON.parse(await client.body());
        assert.equal(id, `client ${i}`, 'its own answer');
        assert.ok(!fates.has(id), 'and no second one');
        fates.set(id, result ? 'answered' : error.data.reason);
        assert.equal(head.status, statuses[fates.get(id)]);
        return client;
    };
    for (let sent = []; clients.length < CROWD; sent = []) {
        for (let n = 0; n < 250; n++) {
            const i = clients.length;
            const client = new Connection(weir.url('edge', '/team')).send('POST', headers, body.replace('"id":1', `"id":"client ${i}"`));
            sent.push(new Promise(resolve => client.socket.write('', resolve)));
            clients.push(play(client, i));
        }
        await Promise.all(sent);
    }
    const of = fate => [...fates.values()].filter(one => one === fate).length;
    const over = async () => {
        for (const client of await Promise.all(clients)) client.close();
        assert.equal(fates.size, CROWD);
    };
    return { of, over };
}

test('ten_thousand_who_wait_for_four_links_are_all_answered', () =>
    scene({ max: 4, max_waiting: CROWD, acquire_timeout: '10m' }, async ({ weir, server }) => {
        server.mood = 'held';
        const before = residentOf(weir);
        const all = await crowd(weir);
        await until(async () => (await shown(weir, 'pool')).waiting === CROWD - 4, 'all but four wait');
        const most = residentOf(weir) - before;
        assert.ok(most < 400, `${most} MiB for ${CROWD} who wait`);
        server.mood = 'well';
        server.release();
        await all.over();
        assert.equal(all.of('answered'), CROWD);
        assert.equal(server.calls, CROWD);
        assert.ok(server.most <= 4, `${server.most} at a time`);
        const { waiting, busy } = await shown(weir, 'pool');
        assert.deepEqual({ waiting, busy }, { waiting: 0, busy: 0 });
    }));

test('of_ten_thousand_those_beyond_max_waiting_are_told_at_once_that_the_pool_is_full', () =>
    scene({ max: 4, max_waiting: 1000, acquire_timeout: '10m' }, async ({ weir, server }) => {
        server.mood = 'held';
        const all = await crowd(weir);
        await until(() => all.of('pool_full') === CROWD - 1004, 'the others are told');
        assert.equal((await shown(weir, 'pool')).waiting, 1000);
        server.mood = 'well';
        server.release();
        await all.over();
        assert.equal(all.of('answered'), 1004);
        assert.equal(server.calls, 1004);
    }));

test('ten_thousand_whose_time_is_up_are_told_so_and_the_next_is_served', () =>
    scene({ max: 1, max_waiting: CROWD, acquire_timeout: '5s' }, async ({ weir, server }) => {
        server.mood = 'held';
        const first = call(weir);
        await until(() => server.held.length === 1, 'one has the link');
        const all = await crowd(weir);
        await all.over();
        assert.equal(all.of('pool_full'), CROWD);
        server.release();
        assert.equal((await first).status, 200);
        server.mood = 'well';
        assert.equal((await call(weir)).status, 200);
        assert.equal(server.calls, 2);
    }));

test('ten_thousand_who_wait_for_a_server_that_dies_are_told_so', () =>
    scene({ max: 4, max_waiting: CROWD, acquire_timeout: '10m' }, async ({ weir, server }) => {
        server.mood = 'held';
        const all = await crowd(weir);
        await until(async () => (await shown(weir, 'pool')).waiting === CROWD - 4, 'all but four wait');
        await server.stop();
        await all.over();
        assert.equal(all.of('server_died'), 4, 'those who had a link');
        assert.equal(all.of('connect_failed'), CROWD - 4, 'and all others, at once');
        assert.equal((await shown(weir, 'pool')).waiting, 0);
        await server.again();
        server.mood = 'well';
        await until(async () => (await call(weir)).status === 200, 'it serves again');
    }));
