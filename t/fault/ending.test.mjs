// The signals that end weir, drain it, and make it open its logs again; the pid file, `weir -s`, and the daemon.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { marked } from '../e2e/lib/process.mjs';
import { breed, call, child, Connection, demo, freePort, gone, hold, http, inHouse, inTime, listen, listener, look, nextEvent, open, plan, recorder, release, request, rpc, session, start, startServer, stdio, textOf, until, weir } from './lib/house.mjs'; // prettier-ignore

let server, folder;
before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'weir-ending-'));
    server = await startServer(recorder('http'));
});
after(async () => {
    await server.stop();
    rmSync(folder, { recursive: true });
});

const both = more => plan({ http: http(server.url), stdio: stdio(child(), { stop_timeout: '200ms' }) }, more);

/* As inHouse(), for a scene that ends the house itself: `ended(house)` waits for it, and finds that it ended well. */
const inHouseThatEnds = (configuration, play, options) => async () => {
    const house = await open(configuration(), options);
    const all = house.all();
    const ended = async () => {
        await inTime(house.task.ended);
        assert.deepEqual(house.task.status, { code: 0, signal: null }, house.stderr());
        await until(() => all.every(gone), 'nobody is left');
        assert.deepEqual(house.logged(' error \\['), []);
    };
    try {
        await inTime(play(house, ended));
    } catch (error) {
        error.message += `\n--- the log of weir:\n${house.stderr()}`;
        house.task.child.kill('SIGKILL');
        throw error;
    }
    rmSync(house.folder, { recursive: true });
};

const refused = url => () => fetch(url, { method: 'POST' }).then(() => false, ({ cause }) => cause?.code === 'ECONNREFUSED'); // prettier-ignore

/* A connection on which one request has been answered. */
async function idleConnection(one) {
    const idle = new Connection(one.url).send('POST', one.headers, rpc('ping', undefined, 'first'));
    const head = await idle.head();
    assert.equal(head.status, 200);
    assert.ok(!/close/i.test(head.headers.connection ?? ''));
    await idle.body();
    return idle;
}

test(
    'QUIT_lets_calls_finish_and_idle_connections_come_once_more',
    inHouseThatEnds(both, async (house, ended) => {
        const sessions = await Promise.all(['http', 'stdio'].map(name => session(house.url(name))));
        const held = await Promise.all(sessions.map(one => hold(one)));
        const idle = await Promise.all([...sessions, ...sessions].map(idleConnection));

        house.signal('SIGQUIT');
        await until(refused(sessions[0].url), 'nobody new is let in');

        for (const [i, one] of sessions.entries()) {
            idle[i].send('POST', one.headers, rpc('tools/call', { name: 'release', arguments: {} }, 'release'));
            const head = await idle[i].head();
            assert.equal(head.status, 200);
            assert.match(head.headers.connection, /close/i);
            assert.equal(JSON.parse(await idle[i].reply(head)).id, 'release');
            assert.equal(JSON.parse((await nextEvent(held[i].stream)).data).params.progress, 2);
            assert.equal(textOf(JSON.parse((await nextEvent(held[i].stream)).data)), 'released');
        }
        assert.ok(look(house.pid), 'two connections are idle still');
        for (const connection of [...idle, ...held.map(({ stream }) => stream)]) connection.close();
        await ended();
    })
);

test(
    'QUIT_ends_at_once_when_there_is_nobody',
    inHouseThatEnds(both, async (house, ended) => {
        house.signal('SIGQUIT');
        await ended();
    })
);

const modern = method => ({ 'mcp-protocol-version': '2026-07-28', 'mcp-method': method });
const modernMeta = {
    'io.modelcontextprotocol/protocolVersion': '2026-07-28',
    'io.modelcontextprotocol/clientInfo': { name: 'raw', version: '1' },
    'io.modelcontextprotocol/clientCapabilities': {}
};

test(
    'QUIT_ends_what_is_open_at_drain_timeout_as_the_protocol_has_it',
    inHouseThatEnds(
        () => plan({ stdio: stdio(child()), demo: stdio(demo) }, { drain_timeout: '300ms' }),
        async (house, ended) => {
            const one = await session(house.url('stdio'));
            const listening = await listen(one);
            const held = await hold(one);
            const idle = await idleConnection(one);
            const params = { _meta: modernMeta, notifications: { toolsListChanged: true } };
            const subscribed = new Connection(house.url('demo')).send('POST', modern('subscriptions/listen'), rpc('subscriptions/listen', params, 'sub'));
            assert.equal((await subscribed.head()).status, 200);
            assert.match((await nextEvent(subscribed)).data, /notifications\/subscriptions\/acknowledged/);

            house.signal('SIGQUIT');

            assert.equal(await nextEvent(listening), null, 'the stream of a session ends');
            const last = JSON.parse((await nextEvent(subscribed)).data);
            assert.equal(last.id, 'sub');
            assert.equal(last.result.resultType, 'complete', 'a subscription is completed');
            assert.equal(await nextEvent(subscribed), null);
            await assert.rejects(nextEvent(held.stream), /connection closed/, 'a call that is not answered is cut');
            await assert.rejects(idle.head(), /connection closed/);
            await ended();
        }
    )
);

test(
    'a_reload_ends_what_is_open_at_drain_timeout_and_its_client_resumes',
    inHouse(
        () => both({ drain_timeout: '300ms' }),
        async house => {
            const one = await session(house.url('stdio'));
            const workers = house.workers();
            const held = await hold(one);
            const listening = await listen(one);
            await house.reload();
            assert.equal(await nextEvent(listening), null);
            await assert.rejects(nextEvent(held.stream), /connection closed/);
            await until(() => workers.every(gone), 'the old workers have left');
            const again = new Connection(one.url).send('GET', { ...one.headers, 'last-event-id': held.event.id });
            assert.equal((await again.head()).status, 200);
            await release(one, { ...held, stream: again });
            again.close();
        }
    )
);

for (const name of ['SIGTERM', 'SIGINT'])
    test(
        `${name}_stops_now_whatever_is_open`,
        inHouseThatEnds(both, async (house, ended) => {
            const one = await session(house.url('stdio'));
            const brood = await breed(one);
            const held = await hold(one);
            const listening = await listen(one);
            house.signal(name);
            await ended();
            await until(() => brood.every(gone), 'its servers have gone with all they started');
            for (const stream of [held.stream, listening]) stream.close();
        })
    );

test(
    'TERM_stops_a_weir_that_drains',
    inHouseThatEnds(both, async (house, ended) => {
        const held = await hold(await session(house.url('stdio')));
        house.signal('SIGQUIT');
        await house.log('draining, then leaving');
        house.signal('SIGTERM');
        await ended();
        held.stream.close();
    })
);

for (const [when, line] of [
    ['tried', 'SIGHUP: reading the configuration again'],
    ['started', 'worker/0 started .*configuration 2']
])
    for (const name of ['SIGTERM', 'SIGQUIT'])
        test(
            `${name}_ends_weir_while_a_new_configuration_is_being_${when}`,
            inHouseThatEnds(both, async (house, ended) => {
                const one = await session(house.url('stdio'));
                house.signal('SIGHUP');
                await house.log(line);
                house.signal(name);
                await ended();
                assert.ok(one);
            })
        );

test(
    'a_second_INT_kills_what_does_not_stop',
    inHouse(plan({ a: stdio(child('stubborn'), { stop_timeout: '1h' }) }), async house => {
        const brood = await breed(await session(house.url('a')));
        const all = [...house.all(), ...brood];
        house.signal('SIGINT');
        await house.log('stopping');
        house.signal('SIGINT');
        await inTime(house.task.ended);
        await until(() => all.every(gone), 'all are gone');
    })
);

test(
    'USR1_opens_the_logs_again',
    inHouse(
        () => both({ workers: 3 }),
        async house => {
            const file = name => join(house.folder, name);
            const text = name => (existsSync(file(name)) ? readFileSync(file(name), 'utf8') : '');
            house.write(both({ workers: 3, log: { level: 'info', file: file('error.log') }, access_log: { file: file('access.log'), flush: '5ms' } }));
            house.signal('SIGHUP');
            await until(() => /\[master \d+\] ready:/.test(text('error.log')), 'it logs to a file');
            const one = await session(house.url('stdio'));
            const nonsense = () => request(one.url, 'POST', { 'mcp-session-id': 'nonsense' }, rpc('ping', undefined, 1));
            const speaks = who => name => new RegExp(`\\[${who} \\d+\\]`).test(text(name));
            const everybody = ['worker/0', 'worker/1', 'worker/2', 'keeper/0'];
            const everybodySpeaks = async name => {
                await call(one, 'complain', { count: 1 });
                await nonsense();
                return everybody.every(who => speaks(who)(name)) && /complain/.test(text('access.log'));
            };
            await until(() => everybodySpeaks('error.log'), 'everybody logs there');

            const size = {};
            for (const name of ['error.log', 'access.log']) renameSync(file(name), file(`${name}.1`));
            house.signal('SIGUSR1');
            await until(() => existsSync(file('error.log')) && everybodySpeaks('error.log'), 'everybody logs to the new files');

            for (const name of ['error.log.1', 'access.log.1']) size[name] = text(name).length;
            await until(() => everybodySpeaks('error.log'), 'and goes on there');
            for (const name of ['error.log.1', 'access.log.1']) assert.equal(text(name).length, size[name], `${name} rests`);
        }
    )
);

test('weir_s_speaks_to_the_weir_of_the_pid_file', async () => {
    const pidFile = join(folder, 'weir.pid');
    const configuration = plan({ a: stdio(demo) }, { pid_file: pidFile });
    const house = await open(configuration);
    const say = async word => {
        const task = start(weir, ['-s', word, '-c', house.file]);
        return { ...(await task.ended), output: task.output };
    };
    assert.equal(readFileSync(pidFile, 'utf8'), `${house.pid}\n`);
    assert.deepEqual(await say('reload'), { code: 0, signal: null, output: '' });
    await house.log('ready: .*\\(configuration 2\\)');
    assert.equal((await say('reopen')).code, 0);
    const held = await session(house.url('a')).then(listen);
    assert.equal((await say('quit')).code, 0);
    await house.log('draining, then leaving');
    assert.equal((await say('stop')).code, 0);
    await inTime(house.task.ended);
    held.close();
    assert.equal(house.task.status.code, 0);
    assert.ok(!existsSync(pidFile), 'the pid file goes with weir');
    const nobody = await say('reload');
    assert.equal(nobody.code, 1);
    assert.match(nobody.output, /pid_file: cannot read .*does weir run\?/);
    writeFileSync(pidFile, '999999999\n');
    assert.match((await say('reload')).output, /names pid 999999999, and no such process runs/);
    const wrong = await say('relod');
    assert.equal(wrong.code, 2);
    assert.match(wrong.output, /did you mean 'reload'\?/);
    rmSync(pidFile);
});

test(
    'the_pid_file_moves_with_the_configuration',
    inHouse(
        () => plan({ a: stdio(demo) }, { pid_file: join(folder, 'one.pid') }),
        async house => {
            await house.reload(plan({ a: stdio(demo) }, { pid_file: join(folder, 'two.pid') }));
            assert.ok(!existsSync(join(folder, 'one.pid')));
            assert.equal(readFileSync(join(folder, 'two.pid'), 'utf8'), `${house.pid}\n`);
            await house.reload(plan({ a: stdio(demo) }));
            assert.ok(!existsSync(join(folder, 'two.pid')));
        }
    )
);

/* `weir -d` with a configuration: what its caller sees, and who is left when it has returned. */
async function daemon(configuration) {
    const file = join(folder, 'daemon.yaml');
    const mark = randomUUID();
    writeFileSync(file, typeof configuration === 'string' ? configuration : JSON.stringify(configuration));
    const task = start(weir, ['-d', '-c', file], { env: { ...process.env, WEIR_FAULT: mark } });
    const { code } = await inTime(task.ended);
    return { code, output: task.output, left: () => marked('WEIR_FAULT', mark) };
}

test('a_daemon_lets_its_caller_go_when_it_serves_and_has_no_terminal', async () => {
    const pidFile = join(folder, 'daemon.pid');
    const log = join(folder, 'daemon.log');
    const port = await freePort();
    const upstreams = { a: stdio(demo) };
    const listeners = { edge: listener(upstreams, { listen: `127.0.0.1:${port}` }) };
    const { code, output, left } = await daemon(plan(upstreams, { pid_file: pidFile, log: { level: 'info', file: log }, listeners }));
    assert.equal(code, 0, output);
    assert.equal(output, '');
    const one = await session(`http://127.0.0.1:${port}/a`);
    assert.equal(textOf(await call(one, 'echo', { message: 'hello' })), 'hello');
    const pid = Number(readFileSync(pidFile, 'utf8'));
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8').split(' ');
    assert.equal(stat[6], '0', 'it has no terminal');
    process.kill(pid, 'SIGTERM');
    await until(() => left().length === 0, 'it ends with all it started');
    assert.ok(!existsSync(pidFile));
    assert.match(readFileSync(log, 'utf8'), /weir has left/);
});

test('a_daemon_that_cannot_serve_says_why_before_it_lets_go', async () => {
    const taken = createServer().listen(0, '127.0.0.1');
    await new Promise(resolve => taken.on('listening', resolve));
    const address = `127.0.0.1:${taken.address().port}`;
    const upstreams = { a: stdio(demo) };
    const log = { level: 'info', file: join(folder, 'failed.log') };
    const configuration = plan(upstreams, { log, listeners: { edge: listener(upstreams, { listen: address }) } });
    for (const [broken, says] of [
        [configuration, new RegExp(`daemon\\.yaml:1:\\d+: .*cannot listen on ${address}: Address already in use`)],
        [{ ...configuration, modules: ['http', 'stdio', 'pol'] }, /daemon\.yaml:1:\d+: .*there is no pol\.so/],
        ['workers: [', /daemon\.yaml:2:1: is not YAML/]
    ]) {
        const { code, output, left } = await daemon(broken);
        assert.equal(code, 1);
        assert.match(output, says);
        assert.equal(left().length, 0);
    }
    taken.close();
});
