// The wire between weir and a server over HTTP is cut, stalls, or leads nowhere.
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { call, gone, hold, http, inHouse, listen, nextEvent, pidOf, plan, recorder, release, rpc, session, startServer, textOf, until } from './lib/house.mjs'; // prettier-ignore
import { relay } from './lib/relay.mjs';

let server, folder, record;
before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'weir-wires-'));
    record = join(folder, 'record');
    writeFileSync(record, '');
    server = await startServer(recorder('http', record));
});
after(async () => {
    await server.stop();
    rmSync(folder, { recursive: true });
});

/* A scene with the relay on the wire. */
const onTheWire = (more, play, top) => async () => {
    const wire = await relay(server.url);
    try {
        await inHouse(plan({ a: http(wire.url, more) }, top), house => play(house, wire))();
    } finally {
        await wire.leave();
    }
};

/* What the server was told with this id. */
const told = id => readFileSync(record, 'utf8').split('\n').filter(line => line.includes(`"id":"${id}"`));

/* A call that the server has and will not answer: what becomes of it. */
let calls = 0;
async function waiting(one) {
    const id = `waiting-${(calls += 1)}`;
    const reply = one.post(rpc('tools/call', { name: 'wait', arguments: {} }, id));
    await until(() => told(id).length > 0, 'the server has the call');
    return { id, reply };
}

test(
    'a_wire_that_is_cut_fails_what_is_in_flight_and_nothing_else',
    onTheWire({}, async (house, wire) => {
        const [one, other] = [await session(house.url('a')), await session(house.url('a'))];
        const held = await hold(one);
        const { id, reply } = await waiting(other);
        wire.cut();
        const { status, text } = await reply;
        assert.equal(status, 502);
        assert.equal(JSON.parse(text).id, id);
        assert.match(JSON.parse(text).error.data.reason, /^(server_died|bad_reply)$/);
        const last = JSON.parse((await nextEvent(held.stream)).data);
        assert.equal(last.id, held.id);
        assert.match(last.error.data.reason, /^(server_died|bad_reply)$/);
        assert.equal(await held.stream.event(), null);
        assert.deepEqual([await pidOf(one), await pidOf(other)], [server.pid, server.pid], 'the sessions go on');
    })
);

test(
    'a_call_on_a_wire_that_is_cut_is_not_sent_a_second_time',
    onTheWire({}, async (house, wire) => {
        const one = await session(house.url('a'));
        for (let i = 0; i < 3; i++) {
            const { id, reply } = await waiting(one);
            wire.cut();
            assert.equal((await reply).status, 502);
            assert.equal(await pidOf(one), server.pid);
            assert.equal(told(id).length, 1);
        }
    })
);

test(
    'kept_wires_that_were_cut_while_they_were_idle_are_not_noticed',
    onTheWire({ chain: [{ pool: { min: 4 } }] }, async (house, wire) => {
        const one = await session(house.url('a'));
        for (let i = 0; i < 10; i++) {
            wire.cut();
            assert.equal(await pidOf(one), server.pid);
        }
    })
);

test(
    'a_server_that_cannot_be_reached_is_told_and_serves_when_it_can',
    onTheWire({}, async (house, wire) => {
        const one = await session(house.url('a'));
        await wire.leave();
        const { status, text } = await one.post(rpc('ping', undefined, 'where'));
        assert.equal(status, 502);
        const { id, error } = JSON.parse(text);
        assert.equal(id, 'where');
        assert.equal(error.data.reason, 'connect_failed');
        assert.match(error.message, /Connection refused/);
        await wire.come();
        await until(() => pidOf(one).then(pid => pid === server.pid, () => false), 'it serves again'); // prettier-ignore
    })
);

test(
    'a_wire_that_stalls_times_out_its_calls_and_leaves_open_streams_alone',
    onTheWire({ reply_timeout: '1s' }, async (house, wire) => {
        const one = await session(house.url('a'));
        const listening = await listen(one);
        const held = await hold(one);
        wire.stall(true);
        for (const id of ['first', 'second']) {
            const { status, text } = await one.post(rpc('ping', undefined, id));
            assert.equal(status, 504);
            assert.equal(JSON.parse(text).id, id);
            assert.equal(JSON.parse(text).error.data.reason, 'timeout');
        }
        wire.stall(false);
        await release(one, held);
        assert.equal(textOf(await call(one, 'say', { text: 'back' })), 'said');
        assert.equal(JSON.parse((await nextEvent(listening)).data).params.data, 'back');
        for (const stream of [listening, held.stream]) stream.close();
    })
);

test(
    'a_call_on_a_wire_that_stalls_does_not_keep_an_old_worker_beyond_drain_timeout',
    onTheWire(
        {},
        async (house, wire) => {
            const one = await session(house.url('a'));
            const workers = house.workers();
            const { reply } = await waiting(one);
            const outcome = reply.catch(String);
            wire.stall(true);
            await house.reload();
            await until(() => workers.every(gone), 'the old workers have left');
            assert.match(await outcome, /connection closed/);
            wire.stall(false);
            assert.equal(await pidOf(one), server.pid);
        },
        { drain_timeout: '300ms' }
    )
);
