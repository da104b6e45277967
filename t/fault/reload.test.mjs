// SIGHUP: what is configured changes, and nobody who is being served notices.
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { call, child, Connection, demo, gone, hold, http, freePort, inHouse, listen, listener, look, nextEvent, pidOf, plan, recorder, release, request, rpc, servedBy, session, startServer, stdio, textOf, until } from './lib/house.mjs'; // prettier-ignore
import { crowd } from './lib/crowd.mjs';

let server;
before(async () => {
    server = await startServer(recorder('http'));
});
after(() => server.stop());

const both = more => plan({ http: http(server.url), stdio: stdio(demo), held: stdio(child()) }, more);

test(
    'twenty_reloads_under_load_fail_no_request_lose_no_session_and_cut_no_stream',
    inHouse(
        () => both(),
        async house => {
            const load = await crowd(house, ['http', 'stdio']);
            const sessions = await Promise.all(['http', 'held'].map(name => session(house.url(name))));
            const listening = await Promise.all(sessions.map(listen));
            const calls = await Promise.all(sessions.map(one => hold(one)));
            const pids = await Promise.all(sessions.map(pidOf));
            const keeper = house.keeper();
            const servers = house.servers();

            for (let i = 0; i < 20; i++) await house.reload();

            await load.round();
            assert.ok(!gone(keeper), 'the keeper has stayed');
            assert.deepEqual(servers.filter(gone), [], 'its children have stayed');
            await load.stop();
            assert.deepEqual(await Promise.all(sessions.map(pidOf)), pids);
            for (const [i, one] of sessions.entries()) await release(one, calls[i]);
            await call(sessions[0], 'say', { text: 'still there' });
            assert.equal(JSON.parse((await nextEvent(listening[0])).data).params.data, 'still there');
            for (const stream of [...listening, ...calls.map(({ stream }) => stream)]) stream.close();
            assert.deepEqual(house.logged(' error \\['), []);
        }
    )
);

test(
    'whoever_watches_readyz_does_not_see_a_reload',
    inHouse(plan({ a: stdio(child()) }, { admin: { listen: '127.0.0.1:0' } }), async house => {
        const seen = new Map();
        let isOver = false;
        const watch = async () => {
            while (!isOver) {
                const { status } = await fetch(house.admin('/readyz'));
                seen.set(status, (seen.get(status) ?? 0) + 1);
            }
        };
        const watching = [watch(), watch(), watch()];
        const streams = [];
        for (let i = 0; i < 6; i++) {
            streams.push(await listen(await session(house.url('a')))); // an old worker stays with it
            await house.reload();
            const before = seen.get(200);
            await until(() => seen.get(200) > before + 100, 'it is watched by all workers');
        }
        isOver = true;
        await Promise.all(watching);
        assert.deepEqual([...seen.keys()], [200]);
        for (const stream of streams) stream.close();
    })
);

test(
    'signals_that_come_in_a_burst_end_in_the_last_configuration',
    inHouse(
        () => both(),
        async house => {
            const load = await crowd(house, ['stdio']);
            house.write(both({ listeners: { edge: listener(both().upstreams), late: listener({ stdio: 1 }) } }));
            for (let i = 0; i < 20; i++) house.signal('SIGHUP');
            await house.log('listener late: listening on');
            await load.stop();
            const late = await session(house.url('stdio', 'late'));
            assert.equal(textOf(await call(late, 'echo', { message: 'here' })), 'here');
            assert.deepEqual(house.logged(' error \\['), []);
        }
    )
);

test(
    'workers_that_become_more_and_fewer_serve_every_connection',
    inHouse(plan({ stdio: stdio(demo) }), async house => {
        const load = await crowd(house, ['stdio']);
        for (const workers of [4, 1, 3]) {
            await house.reload(plan({ stdio: stdio(demo) }, { workers }));
            await load.round();
            const one = await session(house.url('stdio'));
            await Promise.all(Array.from({ length: 32 }, (_, i) => call(one, 'echo', { message: `${i}` }))); // each a connection
            await one.end();
        }
        await load.stop();
        assert.deepEqual(house.logged(' error \\['), []);
    })
);

test(
    'a_reply_that_its_client_has_not_read_yet_is_not_cut_short',
    inHouse(plan({ a: stdio(child(), { max_message: '16MiB', buffer_limit: '16MiB' }) }), async house => {
        const one = await session(house.url('a'));
        const workers = house.workers();
        const bytes = 12 << 20;
        const body = rpc('tools/call', { name: 'reply', arguments: { bytes } }, 'large');
        const slow = new Connection(one.url).send('POST', { ...one.headers, connection: 'close' }, body);
        const head = await slow.head();
        slow.pause(true);
        const itsWorker = servedBy(slow, workers);
        await house.reload();
        await until(() => workers.filter(gone).length === workers.length - 1, 'the workers that serve nobody have left');
        assert.ok(!gone(itsWorker), 'the one that still writes has not');
        slow.pause(false);
        assert.equal(textOf(JSON.parse(await slow.reply(head))).length, bytes);
        slow.close();
        await until(() => gone(itsWorker), 'and leaves then');
    })
);

const named = (name, more) => stdio(child(), { env: { WEIR_NAME: name }, ...more });
const nameOf = async one => JSON.parse(textOf(await call(one, 'about', { name: 'WEIR_NAME' }))).env;

/* The old workers take their last clients in the moment in which the new ones are ready. */
const newcomersGet = (name, house) => until(async () => (await nameOf(await session(house.url('a')))) === name, `new sessions get ${name}`);

test(
    'an_upstream_that_changed_serves_its_old_sessions_on_their_old_children_and_new_ones_on_new',
    inHouse(plan({ a: named('old'), b: named('kept') }), async house => {
        const [old, kept] = await Promise.all(['a', 'b'].map(name => session(house.url(name))));
        const pids = await Promise.all([old, kept].map(pidOf));
        const stream = await listen(old);
        const held = await hold(old);

        await house.reload(plan({ a: named('new'), b: named('kept') }));

        await newcomersGet('new', house);
        assert.deepEqual(await Promise.all([old, kept].map(pidOf)), pids, 'the old sessions are where they were');
        assert.equal(await nameOf(old), 'old');
        await release(old, held);
        stream.close();
        assert.equal((await old.end()).status, 200);
        await until(() => look(pids[0]) === null, 'a session of an older configuration can be ended');
    })
);

test(
    'an_upstream_that_changed_ends_its_old_sessions_at_drain_timeout',
    inHouse(plan({ a: named('old') }, { drain_timeout: '300ms' }), async house => {
        const old = await session(house.url('a'));
        const before = look(await pidOf(old));
        const stream = await listen(old);

        await house.reload(plan({ a: named('new') }, { drain_timeout: '300ms' }));

        await until(() => gone(before), 'the child of the old configuration is gone');
        assert.equal(await nextEvent(stream), null, 'its stream ends as streams do');
        assert.equal((await old.post(rpc('ping', undefined, 1))).status, 404);
        await newcomersGet('new', house);
    })
);

test(
    'an_upstream_that_changed_and_changed_back_keeps_its_sessions_for_good',
    inHouse(
        () => {
            // an idle session of `clock` ends when the keeper's clock has gone on by more than a drain_timeout
            const clock = stdio(demo, { sessions: { idle_timeout: '3s' } });
            return plan({ a: named('one'), clock }, { drain_timeout: '2s' });
        },
        async house => {
            const one = await session(house.url('a'));
            const pid = await pidOf(one);
            const before = JSON.parse(readFileSync(house.file, 'utf8'));
            const other = structuredClone(before);
            other.upstreams.a.env.WEIR_NAME = 'two';
            await house.reload(other);
            await house.reload(before);
            await session(house.url('clock'));
            await house.log('a session was idle');
            assert.equal(await pidOf(one), pid);
            assert.equal(house.logged('upstream a of an older configuration ends').length, 1);
            assert.equal(await nameOf(await session(house.url('a'))), 'one');
        }
    )
);

test(
    'a_keeper_that_dies_during_a_reload_does_not_stop_it',
    inHouse(plan({ a: named('old') }), async house => {
        house.write(plan({ a: named('new') }));
        house.signal('SIGHUP');
        process.kill(house.keeper().pid, 'SIGKILL');
        await house.log('ready: .* \\(configuration 2\\)');
        await until(() => session(house.url('a')).then(nameOf).then(name => name === 'new', () => false), 'new sessions get new'); // prettier-ignore
    })
);

test(
    'a_listener_that_was_added_serves_and_one_that_was_removed_finishes_what_it_has',
    inHouse(plan({ a: stdio(child()) }), async house => {
        const listeners = { edge: listener({ a: 1 }) };
        const upstreams = { a: stdio(child()) };
        await house.reload(plan(upstreams, { listeners: { ...listeners, side: listener({ a: 1 }) } }));
        const side = await session(house.url('a', 'side'));
        const held = await hold(side);
        const idle = new Connection(side.url).send('POST', side.headers, rpc('ping', undefined, 1));
        await idle.body(await idle.head());

        await house.reload(plan(upstreams, { listeners }));

        const refused = () => fetch(side.url, { method: 'POST' }).then(() => false, ({ cause }) => cause?.code === 'ECONNREFUSED'); // prettier-ignore
        await until(refused, 'nobody listens there any more');
        idle.send('POST', side.headers, rpc('tools/call', { name: 'release', arguments: {} }, 2));
        const head = await idle.head();
        assert.equal(head.status, 200);
        assert.match(head.headers.connection, /close/i, 'an idle connection is served once more and told to leave');
        assert.equal(JSON.parse((await nextEvent(held.stream)).data).params.progress, 2);
        assert.equal(textOf(JSON.parse((await nextEvent(held.stream)).data)), 'released');
    })
);

test('a_listener_can_be_removed_and_come_back_at_the_same_address', async () => {
    const port = await freePort();
    const upstreams = { a: stdio(demo) };
    const edge = listener(upstreams);
    const side = listener(upstreams, { listen: `127.0.0.1:${port}` });
    await inHouse(plan(upstreams, { listeners: { edge, side } }), async house => {
        const stream = await listen(await session(house.url('a', 'side'))); // its worker stays
        for (let i = 0; i < 3; i++) {
            await house.reload(plan(upstreams, { listeners: { edge } }));
            await house.reload(plan(upstreams, { listeners: { edge, side } }));
            await session(house.url('a', 'side'));
        }
        stream.close();
    })();
});

test(
    'logs_that_changed_are_written_to_by_every_process',
    inHouse(plan({ a: stdio(child()) }), async house => {
        const file = name => join(house.folder, name);
        const logging = suffix => ({ access_log: { file: file(`access.${suffix}`), flush: '10ms' } });
        const tools = name => readFileSync(file(name), 'utf8').split('\n').filter(Boolean).map(JSON.parse).map(({ name: tool }) => tool).filter(Boolean); // prettier-ignore
        await house.reload(plan({ a: stdio(child()) }, logging(1)));
        const one = await session(house.url('a'));
        await until(() => call(one, 'pid').then(() => tools('access.1').includes('pid')), 'calls are in the first access log');

        const lines = () => (existsSync(file('error.log')) ? readFileSync(file('error.log'), 'utf8') : '');
        house.write(plan({ a: stdio(child()) }, { ...logging(2), log: { level: 'info', file: file('error.log') } }));
        house.signal('SIGHUP');
        await until(() => /\[master \d+\] ready:/.test(lines()), 'the master writes to the new log');
        const isLogged = () => call(one, 'complain', { count: 1 }).then(() => tools('access.2').includes('complain'));
        await until(isLogged, 'calls are in the second access log');
        const nonsense = () => request(one.url, 'POST', { 'mcp-session-id': 'nonsense' }, rpc('ping', undefined, 1));
        const isNamed = async () => (assert.equal((await nonsense()).status, 404), /\[worker\/\d \d+\] .*session_not_found/.test(lines()));
        await until(isNamed, 'a worker writes there');
        await until(() => /\[keeper\/0 \d+\] .*stderr: complaint/.test(lines()), 'the keeper writes there');
    })
);

test(
    'a_server_over_http_that_was_replaced_lets_old_calls_finish',
    inHouse(
        () => plan({ a: http(server.url) }),
        async house => {
            const other = await startServer(recorder('http'));
            const old = await session(house.url('a'));
            const held = await hold(old);
            const stream = await listen(old);
            await house.reload(plan({ a: http(other.url) }));
            await until(async () => (await old.post(rpc('ping', undefined, 1))).status === 404, 'its server is gone from the configuration');
            // one that an old worker still began is with the old server, and ends before it is made
            const isWithOther = () => session(house.url('a')).then(pidOf).then(pid => pid === other.pid, () => false);
            await until(isWithOther, 'new sessions are with the new server');
            held.stream.close();
            stream.close();
            await other.stop();
        }
    )
);
