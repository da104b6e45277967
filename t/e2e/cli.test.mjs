// What a newcomer mistypes: each is answered by one line that names the thing and what can be done, and by a sensible status (1: it
// failed, 2: the command line is wrong).
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { randomUUID } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect } from './lib/clients.mjs';
import { marked, run, start, until } from './lib/process.mjs';
import { binary, runWeir, startWeir } from './lib/weir.mjs';
import { configure, demo, overStdio, waysThroughWeir } from './lib/world.mjs';

const folder = mkdtempSync(join(tmpdir(), 'weir-cli-'));
after(() => rmSync(folder, { recursive: true }));

const good = configure({ demo: overStdio(['cat']) });
const files = {
    'good.yaml': good,
    'empty.yaml': '',
    'comment.yaml': '# nothing yet\n',
    'tab.yaml': good.replace('\n  edge:', '\n\tedge:'),
    'quote.yaml': good.replace('"127.0.0.1:0"', '"127.0.0.1:0'),
    'nul.yaml': good.replace('workers', 'work\0ers'),
    'latin.yaml': Buffer.from(`# caf\xe9\n${good}`, 'latin1'),
    'twice.yaml': `workers: 1\n${good}`,
    'list.yaml': '- http\n- stdio\n',
    'script.sh': 'echo\n'
};
before(() => {
    for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
    mkdirSync(join(folder, 'folder'));
});

const weir = (...args) => run(binary, args, { cwd: folder });

const nowhere = '-c names another one, and `weir run -- COMMAND` needs none';
const lines = [
    // [arguments, status, the one line]
    ['--confg x', 2, "there is no option '--confg'; did you mean '--config'?"],
    ['--frobnicate', 2, "there is no option '--frobnicate'; see weir --help"],
    ['-x', 2, "there is no option '-x'; see weir --help"],
    ['-c', 2, "a value is missing after '-c'; see weir --help"],
    ['rnu -- cat', 2, "there is no command 'rnu'; did you mean 'run'?"],
    ['good.yaml', 2, "there is no command 'good.yaml'; a configuration is named after -c"],
    ['-t good.yaml', 2, "too much: 'good.yaml'; see weir --help"],
    ['-s relaod -c good.yaml', 2, "there is no signal 'relaod'; did you mean 'reload'?"],
    ['-s reload -c good.yaml', 1, /^good\.yaml has no pid_file, .*; add pid_file: /],
    ['status -c good.yaml', 1, /^admin: port 0 is another one at every start; configure a fixed one/],
    ['status --watch x', 2, "--watch: seconds from 0.01 to 3600 are expected, not 'x'; see weir --help"],
    ['status --watch=0', 2, "--watch: seconds from 0.01 to 3600 are expected, not '0'; see weir --help"],
    ['status --watch 2 3', 2, "too much: '3'; see weir --help"],
    ['status --watch --json', 2, "--watch draws a table, and does not go with '--json'; see weir --help"],
    ['status --jsn', 2, "there is no option '--jsn'; did you mean '--json'?"],
    ['status -c nowhere.yaml', 1, `cannot read nowhere.yaml: there is no such file; ${nowhere}`],
    ['schema good.yaml', 2, "too much: 'good.yaml'; see weir --help"],
    ['modules poool', 1, "there is no module 'poool'; did you mean 'pool'?"],
    ['modules frobnicate', 1, "there is no module 'frobnicate'; `weir modules` lists those there are"],

    ['run', 2, /^say which server to run, as in: weir run -- /],
    ['run --', 2, /^say which server to run, as in: weir run -- /],
    ['run --lsten 127.0.0.1:0 -- cat', 2, "there is no option '--lsten'; did you mean '--listen'?"],
    ['run --listen', 2, "a value is missing after '--listen'; see weir run --help"],
    ['run -- frobnicate --all', 1, "run: there is no program 'frobnicate' in PATH; install it, or name it with its folder"],
    ['run -- ./frobnicate', 1, "run: cannot run './frobnicate': there is no such file"],
    ['run -- ./script.sh', 1, "run: cannot run './script.sh': it is not an executable file"],
    ['run -- ./folder', 1, "run: cannot run './folder': it is not an executable file"],
    ['run --listen 8080 -- cat', 1, 'run: --listen: "8080": expected host:port, :port or unix:/path'],
    ['run --listen 127.0.0.1:99999 -- cat', 1, 'run: --listen: "127.0.0.1:99999": the port has to be a number from 0 to 65535'],
    ['run --path mcp -- cat', 1, "run: --path 'mcp': a path begins with /"]
];

/* Files: checked, and served. */
for (const how of ['-t -c', '-c'])
    lines.push(
        [`${how} nowhere.yaml`, 1, `cannot read nowhere.yaml: there is no such file; ${nowhere}`],
        [`${how} folder`, 1, 'cannot read folder: it is a folder; -c names a file'],
        [`${how} empty.yaml`, 1, /^empty\.yaml:1:1: there is nothing in it; a configuration has at least modules, listeners/],
        [`${how} comment.yaml`, 1, /^comment\.yaml:1:1: there is nothing in it/],
        [`${how} tab.yaml`, 1, 'tab.yaml:7:1: a tab; YAML is indented with spaces only'],
        [`${how} quote.yaml`, 1, /^quote\.yaml:\d+:\d+: is not YAML: /],
        [`${how} nul.yaml`, 1, 'cannot read nul.yaml: it contains NUL'],
        [`${how} latin.yaml`, 1, /^latin\.yaml: is not UTF-8 text: .* at byte 6$/],
        [`${how} twice.yaml`, 1, 'twice.yaml:2:1: key "workers" stands here a second time; the first is in line 1'],
        [`${how} list.yaml`, 1, 'list.yaml:1:1: a configuration is a map of keys and values']
    );

for (const [args, status, line] of lines)
    test(`cli: weir ${args}`, async () => {
        const { code, stdout, stderr } = await weir(...args.split(' '));
        assert.match(stderr, /^weir:? .*\n$/, 'one line');
        const said = stderr.replace(/^weir:? /, '').trimEnd();
        if (line instanceof RegExp) assert.match(said, line);
        else assert.equal(said, line);
        assert.equal(code, status);
        assert.equal(stdout, '');
    });

test('cli: what is asked for is told on stdout, with status 0', async () => {
    const told = async (...args) => {
        const { code, stdout, stderr } = await weir(...args);
        assert.equal(code, 0, stderr);
        assert.equal(stderr, '');
        return stdout;
    };
    assert.match(await told('-v'), /^weir \d+\.\d+\.\d+\n$/);
    const built = await told('-V');
    for (const what of [/^weir \d/, /^module ABI \d+\.\d+$/m, /^configuration \/.*weir\.yaml$/m, /^modules \//m, /^compiler /m, /OpenSSL \d/])
        assert.match(built, what);
    const help = await told('--help');
    for (const word of ['-c', '-d', '-t', '-s', 'run', 'status', 'modules', 'schema']) assert.ok(help.includes(` ${word}`), word);
    assert.equal(await told('help'), help);
    assert.match(await told('run', '--help'), /^usage: weir run .*--listen[^]*example: weir run -- npx/);
    assert.match(await told('modules'), /^pool +\w/m);
    assert.match(await told('modules', 'pool'), /^ {2}strategy +text; default round_robin$/m);
    assert.equal(await told('-t', '-c', 'good.yaml'), 'configuration good.yaml is fine\n');
});

test('cli: -t warns of a command that is not there, and names it and the remedy', async () => {
    const upstreams = {
        a: overStdio(['frobnicate', '--all']),
        b: overStdio(['./script.sh']),
        c: overStdio(['cat']),
        d: { ...overStdio(['./tool']), cwd: 'bin' },
        e: { ...overStdio(['tool']), env: { PATH: join(folder, 'bin') } }
    };
    mkdirSync(join(folder, 'bin'));
    writeFileSync(join(folder, 'bin', 'tool'), '#!/bin/sh\n', { mode: 0o755 });
    writeFileSync(join(folder, 'commands.yaml'), configure(upstreams));
    const { code, stdout, stderr } = await weir('-t', '-c', 'commands.yaml');
    assert.deepEqual({ code, stdout }, { code: 0, stdout: 'configuration commands.yaml is fine\n' });
    const lines = stderr.trimEnd().split('\n');
    assert.equal(lines.length, 2, stderr);
    assert.match(lines[0], /^weir: warning: commands\.yaml:\d+:\d+: upstream a: there is no program 'frobnicate' in PATH; install it, or name it with its folder$/);
    assert.match(lines[1], /^weir: warning: commands\.yaml:\d+:\d+: upstream b: cannot run '\.\/script\.sh': it is not an executable file$/);
});

if (waysThroughWeir.length > 0)
    describe('cli: a port in use', () => {
        let taken, address;
        before(async () => {
            taken = net.createServer(socket => socket.resume().end('HTTP/1.0 404 Not Found\r\n\r\n')).listen(0, '127.0.0.1');
            await new Promise(resolve => taken.once('listening', resolve));
            address = `127.0.0.1:${taken.address().port}`;
            writeFileSync(join(folder, 'taken.yaml'), good.replace('    listen: "127.0.0.1:0"', `    listen: "${address}"`));
            writeFileSync(join(folder, 'admin.yaml'), good.replace('listen: "127.0.0.1:0"', `listen: "${address}"`));
        });
        after(() => taken.close());

        test('cli: a port in use is named by weir run, with another to take', async () => {
            const { code, stderr } = await weir('run', '--listen', address, '--', 'cat');
            assert.equal(code, 1);
            assert.match(stderr, /^weir run: cannot listen on .*: another program does; choose another address, .*--listen .*\n$/);
            assert.ok(stderr.includes(address));
        });

        test('cli: a port in use is named with its listener', async () => {
            const { code, stderr } = await weir('-c', 'taken.yaml');
            assert.equal(code, 1);
            assert.match(stderr, /^weir: .*taken.yaml:9:13: listener edge: cannot listen on .*; another program listens there$/m);
        });

        test('cli: a daemon that cannot start says so to who started it', async () => {
            const { code, stderr } = await weir('-d', '-c', 'taken.yaml');
            assert.equal(code, 1);
            assert.match(stderr, /^weir: .*taken.yaml:9:13: listener edge: cannot listen on /m);
        });

        test('cli: weir status names who answers in its place, or that nobody does', async () => {
            const other = await weir('status', '-c', 'admin.yaml');
            assert.equal(other.code, 1);
            assert.equal(other.stderr, "weir: admin: answers 'HTTP/1.0 404 Not Found'; is it weir that listens there?\n");
            await new Promise(resolve => taken.close(resolve));
            const nobody = await weir('status', '-c', 'admin.yaml');
            assert.equal(nobody.code, 1);
            assert.equal(nobody.stderr, `weir: cannot connect to admin: ${address}: Connection refused; does weir run?\n`);
        });
    });

if (waysThroughWeir.length > 0)
    describe('cli: control', () => {
        const text = () => good.replace('["cat"]', JSON.stringify(demo.stdio)).replace('admin:', `pid_file: ${folder}/weir.pid\nadmin:`);
        const say = word => run(binary, ['-s', word, '-c', join(folder, 'pid.yaml')]);
        before(() => writeFileSync(join(folder, 'pid.yaml'), text()));

        test('cli: a signal to a weir that does not run is refused with the pid file', async () => {
            const missing = await say('reload');
            assert.equal(missing.code, 1);
            assert.match(missing.stderr, /^weir: pid_file: cannot read .*weir\.pid: No such file or directory; does weir run\?\n$/);
            writeFileSync(join(folder, 'weir.pid'), '4194305\n'); // larger than any pid
            assert.match((await say('stop')).stderr, /^weir: pid_file: .*weir\.pid names pid 4194305, and no such process runs\n$/);
            writeFileSync(join(folder, 'weir.pid'), 'weir\n');
            assert.match((await say('stop')).stderr, /^weir: pid_file: .*weir\.pid does not hold a pid\n$/);
        });

        test('cli: -d returns when it serves, and -s stop ends it', async () => {
            const mark = randomUUID();
            const env = { ...process.env, WEIR_E2E: mark };
            const daemon = await run(binary, ['-d', '-c', join(folder, 'pid.yaml')], { env });
            assert.equal(daemon.code, 0, daemon.stderr);
            const [, address] = daemon.stderr.match(/listener edge: listening on (\S+)/);
            const me = await connect('client 2.x', `http://${address}/demo`);
            assert.ok((await me.client.listTools()).tools.length > 0);
            await me.client.close();
            assert.equal((await say('stop')).code, 0);
            await until(() => marked('WEIR_E2E', mark).length === 0, 'nothing is left');
        });

        test('cli: a configuration that went wrong is told on reload, and the old one serves on', async () => {
            const running = await startWeir(text());
            writeFileSync(running.file, text().replace('pool', 'poool'));
            assert.equal((await run(binary, ['-t', '-c', running.file])).code, 1);
            running.task.child.kill('SIGHUP');
            await running.task.seen(/weir\.yaml:\d+:\d+: .*did you mean "pool"[^]*reload failed; configuration 1 goes on serving/);
            const me = await connect('client 2.x', running.url('edge', '/demo'));
            await me.close();
            await running.stop();
        });
    });

/* Ctrl-C at a time that nobody chose: everybody in the terminal hears it, and nothing is left. */
if (waysThroughWeir.length > 0)
    for (const moment of ['at once', /keeper\/0 started/, /worker\/0 started/, /listening on/, /ready:/])
        test(`cli: Ctrl-C ${moment === 'at once' ? moment : `at ${moment}`} ends everything`, async () => {
            const mark = randomUUID();
            const env = { ...process.env, WEIR_E2E: mark };
            const text = good.replace('["cat"]', JSON.stringify(demo.stdio));
            writeFileSync(join(folder, 'interrupted.yaml'), text);
            const task = start(binary, ['-c', join(folder, 'interrupted.yaml')], { env, detached: true });
            if (moment !== 'at once') await task.seen(moment);
            process.kill(-task.pid, 'SIGINT');
            const { code, signal } = await task.ended;
            assert.ok(code === 0 || signal === 'SIGINT', `${JSON.stringify(task.status)}: ${task.stderr}`);
            await until(() => marked('WEIR_E2E', mark).length === 0, 'nothing is left');
            assert.doesNotMatch(task.stderr, / (error|warn) /);
        });
