// A configuration that cannot be put in force changes nothing and says why, with its place; `weir -t` says the same.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { call, child, demo, family, gone, here, hold, http, inHouse, isAlive, listen, listener, open, plan, recorder, release, repo, session, start, startServer, stdio, textOf, until, weir } from './lib/house.mjs'; // prettier-ignore

let folder, taken, server;
before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'weir-broken-'));
    mkdirSync(join(folder, 'modules'));
    execFileSync('cc', ['-std=gnu17', '-Wall', '-Wextra', '-shared', '-fPIC', `-I${repo}/include`, '-o', join(folder, 'modules/bad.so'), join(here, 'module/bad.c')]);
    taken = createServer().listen(0, '127.0.0.1');
    await new Promise(resolve => taken.on('listening', resolve));
    server = await startServer(recorder('http'));
});
after(async () => {
    taken.close();
    await server.stop();
    rmSync(folder, { recursive: true });
});

/* Each line is one that a row may change. Line 7 is `listen`, line 13 the command. */
const good = () => `workers: 2
log: { level: info, file: stderr }
module_path: [${join(folder, 'modules')}, ${repo}/build/modules]
modules: [http, stdio, pool, bad]
listeners:
  edge:
    listen: 127.0.0.1:0
    transport: http
    routes: [{ path: /demo, upstream: demo }]
upstreams:
  demo:
    transport: stdio
    command: [${demo}]
    chain:
      - bad
      - pool: { min: 0, max: 8 }
`;

/* What is wrong, what of the good file becomes what, where it is said to be, and how. */
const rows = [
    ['a list that is not closed', 'pool, bad]', 'pool, bad', /:5:10: is not YAML: /],
    ['an unknown key', 'workers: 2', 'wrokers: 2', /:1:1: unknown key "wrokers" .*did you mean "workers"\?/],
    ['an unknown key of a listener', '    transport: http\n', '    transport: http\n    lisen: x\n', /:9:5: unknown key "lisen" .*did you mean "listen"\?/],
    ['an unknown key of a module', 'max: 8', 'maxx: 8', /:16:25: unknown key "maxx" .*did you mean "max"\?/],
    ['a value of the wrong type', 'workers: 2', 'workers: two', /:1:10: workers: expected /],
    ['a missing module', 'pool, bad]', 'pool, bad, pol]', /:4:35: .*there is no pol\.so .*did you mean "pool"\?/],
    ['a module whose create fails', 'min: 0', 'min: 9', /:16:9: upstream demo: pool: min \(9\) is larger than max \(8\)/],
    ['a module that crashes in its create', '- bad', '- bad: { crash: create }', /ended without an answer: killed by signal 6 \(SIGABRT\)/],
    ['an unreadable certificate', '    routes:', '    tls: { certificate: none.pem }\n    routes:', /:9:10: listener edge: cannot read the certificate .*none\.pem: No such file/],
    ['an empty certificate', '    routes:', '    tls: { certificate: /dev/null }\n    routes:', /:9:10: listener edge: cannot read the certificate \/dev\/null: no PEM block/],
    ['an unreadable file of session keys', 'workers: 2', 'session_keys: none.keys', /:1:15: session_keys: cannot read .*none\.keys: No such file/],
    ['an address that is none', '127.0.0.1:0', '127.0.0.1', /:7:13: listen of a listener: "127\.0\.0\.1": expected host:port/],
    ['an address of another machine', '127.0.0.1:0', '203.0.113.9:1', /:7:13: cannot listen on 203\.0\.113\.9:1: Cannot assign requested address/],
    ['a log in a folder that is not there', 'file: stderr', 'file: none/log', /:2:27: log: cannot write .*none\/log: No such file/],
    ['an access log that is a folder', 'workers: 2', 'access_log: { file: /tmp }', /:1:21: access_log: \/tmp is a folder/],
    ['a pid file in a folder that is not there', 'workers: 2', 'pid_file: none/pid', /:1:11: pid_file: cannot write .*none\/pid: No such file/],
    ['a user that is not there', 'workers: 2', 'user: nobody-at-all', /:1:7: user: there is no user 'nobody-at-all'/],
    ["a server's user that is not there", '    command:', '    user: nobody-at-all\n    command:', /:13:11: user: there is no user 'nobody-at-all'/],
    ['a route to nowhere', 'upstream: demo', 'upstream: dmo', /:9:39: there is no upstream "dmo"; did you mean "demo"\?/],
    ['an empty command', /command: .*/, 'command: []', /:12:5: upstream demo: `command` is empty/]
];

const checked = async file => {
    const task = start(weir, ['-t', '-c', file]);
    const { code } = await task.ended;
    return { code, output: task.output };
};

describe('a file that is broken', () => {
    let house, keeper, workers, one;
    before(async () => {
        house = await open(good());
        [keeper, workers] = [house.keeper(), house.workers()];
        one = await session(house.url('demo'));
    });
    after(() => house.end());

    for (const [what, from, to, says] of rows)
        test(`${what}_is_told_with_its_place_and_changes_nothing`.replaceAll(' ', '_'), async () => {
            const text = good().replace(from, to);
            assert.notEqual(text, good());
            const file = join(folder, 'weir.yaml');
            writeFileSync(file, text);
            const { code, output } = await checked(file);
            assert.match(output, says, 'weir -t says it');
            assert.equal(code, 1);
            const said = await house.refuse(text);
            assert.match(said, says, 'the log says it');
            assert.match(said, /configuration 1 goes on serving/);
            assert.equal(textOf(await call(one, 'echo', { message: what })), what);
            assert.deepEqual([keeper, ...workers].filter(gone), [], 'nobody has left');
        });

    test('an_address_that_another_program_listens_on_is_told_with_its_place_and_changes_nothing', async () => {
        const address = `127.0.0.1:${taken.address().port}`;
        const says = new RegExp(`:7:13: .*cannot listen on ${address}: Address already in use; another program listens there`);
        const text = good().replace('127.0.0.1:0', address);
        const file = join(folder, 'weir.yaml');
        writeFileSync(file, `${text}pid_file: ${folder}/pid\n`);
        const sure = await checked(file);
        assert.match(sure.output, says);
        assert.equal(sure.code, 1, 'no weir runs that could be it');
        writeFileSync(file, text);
        const unsure = await checked(file);
        assert.match(unsure.output, says);
        assert.equal(unsure.code, 0, 'it may be the weir that runs');
        assert.match(await house.refuse(text), says);
        assert.equal(textOf(await call(one, 'echo', { message: 'here' })), 'here');
        assert.deepEqual([keeper, ...workers].filter(gone), []);
    });

    test('a_file_that_is_gone_is_told_and_changes_nothing', async () => {
        rmSync(house.file);
        const said = await house.refuse();
        assert.match(said, /cannot read .*: there is no such file/);
        assert.equal(textOf(await call(one, 'echo', { message: 'here' })), 'here');
    });
});

const overHttp = (bad, more) =>
    plan({ a: http(server.url, { chain: [{ bad }, 'pool'] }) }, { modules: ['http', 'stdio', 'pool', 'bad'], module_path: [join(folder, 'modules'), `${repo}/build/modules`], ...more });

/* Keepers have put it in force already when its workers crash. */
const halfWay = (crash, word) => {
    const { upstreams, listeners, ...rest } = overHttp({ crash });
    const s = stdio(demo, { env: { WORD: word } });
    const clock = stdio(demo, { sessions: { idle_timeout: '700ms' } });
    const all = { ...upstreams, s, clock };
    return { ...rest, upstreams: all, listeners: { edge: { ...listeners.edge, ...listener(all) } }, drain_timeout: '300ms' };
};

const ways = {
    http: overHttp,
    stdio: bad => ({ ...overHttp(bad), upstreams: { a: stdio(child(), { chain: [{ bad }, 'pool'] }) } })
};
for (const [way, make] of Object.entries(ways))
    test(
        `${way}: workers_that_crash_as_they_start_are_given_up_and_the_old_ones_serve_on`,
        inHouse(
            () => make({ crash: 'never' }),
            async house => {
                const before = [house.keeper(), ...house.workers()];
                const one = await session(house.url('a'));
                const held = await hold(one);
                const said = await house.refuse(make({ crash: 'start' }));
                assert.match(said, /worker\/\d \(pid \d+\) killed by signal 6 \(SIGABRT\).* before it was ready/);
                await release(one, held);
                assert.deepEqual(before.filter(gone), []);
                await until(() => house.workers().length === 2, 'none of the new ones is left');
            }
        )
    );

test(
    'an_upstream_that_changed_in_a_reload_that_failed_half_way_keeps_its_sessions_for_good',
    inHouse(
        () => halfWay('never', 'old'),
        async house => {
            const one = await session(house.url('s'));
            assert.match(await house.refuse(halfWay('start', 'new')), /before it was ready/);
            const before = house.logged('a session was idle').length;
            await session(house.url('clock'));
            await until(() => house.logged('a session was idle').length > before, 'drain_timeout has passed');
            assert.equal(textOf(await call(one, 'echo', { message: 'still here' })), 'still here');
            await until(() => house.servers().length === 1, 'its child is the only one');
        }
    )
);

test(
    'an_upstream_that_changed_is_there_for_the_old_workers_however_long_the_new_ones_take_to_start',
    inHouse(
        () => halfWay('never', 'old'),
        async house => {
            const one = await session(house.url('s'));
            const stream = await listen(one);
            const slow = halfWay('never', 'new');
            slow.upstreams.a.chain[0].bad.start_ms = 1200; // drain_timeout, four times
            await house.reload(slow);
            assert.equal(textOf(await call(one, 'echo', { message: 'still here' })), 'still here');
            assert.equal(await stream.event(), null, 'its stream ends when drain_timeout of its worker does');
        }
    )
);

test(
    'a_module_that_crashes_at_a_request_costs_this_request_and_the_worker_comes_back',
    inHouse(
        () => overHttp({ crash: 'request' }),
        async house => {
            for (let i = 0; i < 2; i++) await assert.rejects(session(house.url('a')), /connection closed/);
            await house.log('worker/\\d \\(pid \\d+\\) killed by signal 6 \\(SIGABRT\\).*; starting it again');
            await house.renew(overHttp({ crash: 'never' }));
            await session(house.url('a'));
        }
    )
);

describe('a start that fails', () => {
    for (const [what, from, to, says] of rows.filter((_, i) => i % 6 === 0 || /crashes|log in|pid/.test(_[0])))
        test(`${what}_ends_weir_with_status_1_and_its_story`.replaceAll(' ', '_'), async () => {
            const file = join(folder, 'weir.yaml');
            writeFileSync(file, good().replace(from, to));
            const task = start(weir, ['-c', file]);
            const { code } = await task.ended;
            assert.match(task.stderr, says);
            assert.equal(code, 1);
        });
});

test('a_second_weir_on_the_same_address_fails_and_says_so_and_the_first_goes_on', async () => {
    const configuration = plan({ a: stdio(demo) });
    const sockets = name => ({ listeners: { edge: listener({ a: 1 }), unix: listener({ a: 1 }, { listen: `unix:${join(folder, name)}` }) } });
    await inHouse({ ...configuration, ...sockets('one.sock') }, async house => {
        const address = new URL(house.url('a')).host;
        const try_ = async (more, says) => {
            const file = join(folder, 'second.yaml');
            writeFileSync(file, JSON.stringify({ ...configuration, ...more }));
            const second = start(weir, ['-c', file]);
            assert.equal((await second.ended).code, 1);
            assert.match(second.stderr, says);
            assert.equal(family(second.pid).all().length, 0);
        };
        await try_({ listeners: { edge: listener({ a: 1 }, { listen: address }) } }, new RegExp(`cannot listen on ${address}: Address already in use`));
        await try_(sockets('one.sock'), /cannot listen on unix:.*one\.sock: Address already in use/);
        assert.ok(existsSync(join(folder, 'one.sock')), 'the socket of the first is still there');
        const one = await session(house.url('a'));
        assert.equal(textOf(await call(one, 'echo', { message: 'mine' })), 'mine');
    })();
    assert.ok(!existsSync(join(folder, 'one.sock')), 'a socket goes with its weir');
});

test('a_socket_file_that_a_killed_weir_left_behind_is_taken_over', async () => {
    const listeners = { edge: listener({ a: 1 }), unix: listener({ a: 1 }, { listen: `unix:${join(folder, 'left.sock')}` }) };
    const first = await open(plan({ a: stdio(demo) }, { listeners }));
    const all = first.all();
    process.kill(first.pid, 'SIGKILL');
    await until(() => !all.some(isAlive), 'the first is gone');
    assert.ok(existsSync(join(folder, 'left.sock')));
    await inHouse(plan({ a: stdio(demo) }, { listeners }), house => session(house.url('a')))();
});
