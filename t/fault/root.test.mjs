// Started by root: privileges are given up, and what needs them still works. Skipped for anybody else.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmodSync, copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { call, demo, inHouse, listener, plan, request, rpc, session, start, stdio, textOf, until, weir } from './lib/house.mjs'; // prettier-ignore

const isRoot = process.getuid() === 0;
const idOf = name => Number(execFileSync('id', ['-u', name], { encoding: 'utf8' }));
/* A leak checker has to trace the process that it checks, which nobody may do to one that gave root up. */
const options = { env: { ASAN_OPTIONS: [process.env.ASAN_OPTIONS, 'detect_leaks=0'].filter(Boolean).join(':') } };

/* What it may do and read, as /proc has it. */
const uidsOf = ({ pid }) => readFileSync(`/proc/${pid}/status`, 'utf8').match(/^Uid:\s+(.*)$/m)[1].split(/\s+/).map(Number);
const gidsOf = ({ pid }) => readFileSync(`/proc/${pid}/status`, 'utf8').match(/^Gid:\s+(.*)$/m)[1].split(/\s+/).map(Number);
const groupsOf = ({ pid }) => readFileSync(`/proc/${pid}/status`, 'utf8').match(/^Groups:[ \t]*(.*)$/m)[1].trim().split(' ').map(Number);

/* A port below 1024 that nobody listens on. */
async function lowPort() {
    for (let port = 700; port < 1024; port++) {
        const probe = createServer();
        const isFree = await new Promise(resolve => {
            probe.once('error', () => resolve(false));
            probe.listen(port, '127.0.0.1', () => resolve(true));
        });
        probe.close();
        if (isFree) return port;
    }
    throw new Error('no port below 1024 is free');
}

describe('started by root', { skip: !isRoot && 'needs root' }, () => {
    let folder, nobody, daemon, port, server;
    const file = name => join(folder, name);
    const secret = () => {
        execFileSync('openssl', ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '1', '-subj', '/CN=localhost', '-keyout', file('key.pem'), '-out', file('cert.pem')], { stdio: 'ignore' });
        writeFileSync(file('session.keys'), `${'ab'.repeat(32)}\n`);
        for (const name of ['key.pem', 'session.keys']) chmodSync(file(name), 0o600);
    };
    before(async () => {
        folder = mkdtempSync(join(tmpdir(), 'weir-root-'));
        chmodSync(folder, 0o755);
        server = file('weir-demo'); // where anybody may run it
        copyFileSync(demo[0], server);
        copyFileSync(weir, file('weir'));
        for (const name of ['weir', 'weir-demo']) chmodSync(file(name), 0o755);
        [nobody, daemon] = ['nobody', 'daemon'].map(idOf);
        port = await lowPort();
        secret();
    });
    after(() => rmSync(folder, { recursive: true }));

    const guarded = more => {
        const upstreams = { a: stdio([server]) };
        const listeners = {
            edge: listener(upstreams),
            low: listener(upstreams, { listen: `127.0.0.1:${port}` }),
            secure: listener(upstreams, { tls: { certificate: file('cert.pem'), key: file('key.pem') } })
        };
        return plan(upstreams, { user: 'nobody', session_keys: file('session.keys'), listeners, ...more });
    };

    /* A request over TLS, by curl: the test's own client speaks none. */
    const secureStatus = url => execFileSync('curl', ['-sk', '-o', '/dev/null', '-w', '%{http_code}', '-d', '{}', url.replace('http:', 'https:')], { encoding: 'utf8' });

    test('workers_keeper_and_servers_run_as_the_user_and_reach_what_only_root_may', () =>
        inHouse(
            () => guarded(),
            async house => {
                for (let round = 0; round < 2; round++) {
                    const one = await session(`http://127.0.0.1:${port}/a`);
                    assert.equal(textOf(await call(one, 'echo', { message: 'low' })), 'low');
                    assert.equal(secureStatus(house.edge('secure', '/a')), '415');
                    assert.deepEqual(uidsOf({ pid: house.pid }), [0, 0, 0, 0]);
                    for (const each of [...house.workers(), house.keeper(), ...house.minders(), ...house.servers()]) {
                        assert.deepEqual(uidsOf(each), Array(4).fill(nobody), each.command);
                        assert.equal(gidsOf(each).includes(0), false, each.command);
                        assert.equal(groupsOf(each).includes(0), false, each.command);
                    }
                    assert.equal(house.servers().length, round + 1);
                    await house.reload(); // new workers read the key again
                    await until(() => house.workers().length === 2, 'the old workers have left');
                }
                process.kill(house.workers()[0].pid, 'SIGKILL');
                process.kill(house.keeper().pid, 'SIGKILL');
                await until(() => house.workers().length === 2 && house.keeper(), 'both come back');
                for (const each of [...house.workers(), house.keeper()]) await until(() => uidsOf(each)[0] === nobody, 'as the user');
            },
            options
        )());

    test('a_server_with_a_user_of_its_own_runs_as_that_one_and_all_others_as_the_user', () =>
        inHouse(
            () => plan({ a: stdio([server]), b: stdio([server], { user: 'daemon' }) }, { user: 'nobody' }),
            async house => {
                await session(house.url('a'));
                await session(house.url('b'));
                const users = house.servers().map(each => uidsOf(each)[0]).sort((a, b) => a - b); // prettier-ignore
                assert.deepEqual(users, [daemon, nobody].sort((a, b) => a - b)); // prettier-ignore
                for (const each of house.servers()) assert.ok(!groupsOf(each).includes(0));
                for (const worker of house.workers()) assert.equal(uidsOf(worker)[0], nobody);
                assert.equal(uidsOf(house.keeper())[0], 0, 'who has to become both');
            },
            options
        )());

    test('a_keeper_that_gave_root_up_refuses_a_server_with_a_user_of_its_own', () =>
        inHouse(
            () => plan({ a: stdio([server]) }, { user: 'nobody' }),
            async house => {
                const one = await session(house.url('a'));
                const said = await house.refuse(plan({ a: stdio([server]), b: stdio([server], { user: 'daemon' }) }, { user: 'nobody' }));
                assert.match(said, /weir\.yaml:\d+:\d+: user: upstream b: its server cannot run as 'daemon': the keepers gave root up when weir was started; start it again/);
                assert.equal(textOf(await call(one, 'echo', { message: 'on' })), 'on');
            },
            options
        )());

    test('the_logs_belong_to_the_user_and_are_opened_again_after_a_rotation', () =>
        inHouse(
            () => guarded(),
            async house => {
                mkdirSync(file('log'), { mode: 0o755 });
                house.write(guarded({ log: { level: 'info', file: file('log/error.log') }, access_log: { file: file('log/access.log'), flush: '5ms' } }));
                house.signal('SIGHUP');
                const text = name => (existsSync(file(name)) ? readFileSync(file(name), 'utf8') : '');
                await until(() => /\[master \d+\] ready:/.test(text('log/error.log')), 'it logs to a file');
                const url = house.url('a');
                const worked = async () => {
                    await request(url, 'POST', { 'mcp-session-id': 'nonsense' }, rpc('ping', undefined, 1));
                    await session(url).then(one => one.end());
                    return /\[worker\/\d \d+\]/.test(text('log/error.log')) && /\[keeper\/0 \d+\]/.test(text('log/error.log')) && text('log/access.log') !== '';
                };
                await until(worked, 'workers and keeper log there');
                for (const name of ['error', 'access']) {
                    assert.equal(statSync(file(`log/${name}.log`)).uid, nobody);
                    renameSync(file(`log/${name}.log`), file(`log/${name}.old`));
                }
                house.signal('SIGUSR1');
                await until(() => existsSync(file('log/error.log')) && worked(), 'workers and keeper log to the new files');
                for (const name of ['error', 'access']) assert.equal(statSync(file(`log/${name}.log`)).uid, nobody);
                assert.doesNotMatch(text('log/error.log') + text('log/error.old'), / error \[/);
            },
            options
        )());

    /* weir, started by somebody who may do nothing. */
    const asNobody = args => start('setpriv', ['--reuid=65534', '--regid=65534', '--clear-groups', file('weir'), ...args]);

    test('somebody_who_is_not_root_is_told_what_needs_root', async () => {
        const configuration = file('weir.yaml');
        const upstreams = { a: stdio([server]) };
        for (const [what, says] of [
            [plan(upstreams, { listeners: { low: listener(upstreams, { listen: `127.0.0.1:${port}` }) } }), /weir\.yaml:\d+:\d+: cannot listen on .*: Permission denied; ports below 1024 need root/],
            [plan({ a: stdio([server], { user: 'daemon' }) }), /weir\.yaml:\d+:\d+: user: upstream a: its server cannot run as 'daemon': weir is not started by root/],
            [plan(upstreams, { session_keys: file('session.keys') }), /weir\.yaml:\d+:\d+: session_keys: cannot read .*: Permission denied/]
        ]) {
            writeFileSync(configuration, JSON.stringify(what, null, 1), { mode: 0o644 });
            const task = asNobody(['-c', configuration]);
            const { code } = await task.ended;
            assert.match(task.stderr, says);
            assert.equal(code, 1);
        }
    });
});
