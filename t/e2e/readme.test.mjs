// README.md is true: its commands run as they stand there, but for ports that others may use and the folder of the test, and its
// configuration serves what it says.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { randomUUID } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect } from './lib/clients.mjs';
import { blocks, edited, readme } from './lib/documents.mjs';
import { marked, run, start, until } from './lib/process.mjs';
import { here, repo, runWeir } from './lib/weir.mjs';
import { everything, startServer, waysThroughWeir } from './lib/world.mjs';

const tree = mkdtempSync(join(tmpdir(), 'weir-readme-'));
const { MAKEFLAGS, MAKELEVEL, MFLAGS, ...environment } = process.env; // make here is nobody's child

/* A copy of the tree as it is: what it was configured with stays, so that nothing is built twice. */
before(async () => {
    const left = ['./.git', './build/ci', './build/fuzz', './build/t', 'node_modules'].map(name => `--exclude=${name}`).join(' ');
    const copied = await run('sh', ['-c', `tar -c --format=posix ${left} . | tar -x -C ${tree}`], { cwd: repo });
    assert.equal(copied.code, 0, copied.output);
    symlinkSync(join(here, 'node_modules'), join(tree, 'node_modules')); // what npx looks into first
});
after(() => rmSync(tree, { recursive: true }));

const commands = blocks('sh').flatMap(block => block.trim().split('\n'));
const command = pattern => {
    const found = commands.filter(line => pattern.test(line));
    assert.equal(found.length, 1, `one command like ${pattern}`);
    return found[0].replace(/\s+#.*/, '');
};
const shell = (line, options = {}) => ['sh', ['-c', line], { cwd: tree, env: environment, ...options }];
const configured = () => readFileSync(join(tree, 'Makefile'), 'utf8').match(/\.\/configure(.*)$/m)[1];

async function echoes(url) {
    const me = await connect('client 2.x auto', url);
    const { content } = await me.callTool('echo', { message: 'hello' });
    assert.match(content[0].text, /hello/);
    await me.close();
}

/* Runs a command line that serves, has it tried, and ends it as Ctrl-C does: everybody in the terminal hears it. */
async function serves(line, path) {
    const mark = randomUUID();
    const task = start(...shell(line, { env: { ...environment, WEIR_E2E: mark }, detached: true }));
    const [url] = await task.seen(/http:\/\/127\.0\.0\.1:\d+\/[^\s'"]*/);
    const [, curl] = await task.seen(/^\s*(curl .*)\n/m);
    await task.seen(/Ctrl-C/);
    assert.equal(new URL(url).pathname, path);
    const answer = await run(...shell(curl));
    assert.equal(answer.code, 0, answer.stderr);
    assert.match(answer.stdout, /"serverInfo"/);
    await echoes(url);
    process.kill(-task.pid, 'SIGINT');
    await task.ended;
    await until(() => marked('WEIR_E2E', mark).length === 0, 'Ctrl-C ends everything');
    assert.match(task.output, /weir has left/);
    assert.doesNotMatch(task.output, /\b(error|killing)\b/i);
}

test('readme: it leads with the two commands', () => {
    assert.deepEqual(blocks('sh').slice(0, 2), ['./configure --bootstrap && make run\n', './configure --bootstrap && make test\n']);
    assert.ok(readme.indexOf('make run') < 1000, 'and does not keep a newcomer waiting for them');
});

if (waysThroughWeir.length > 0) {
    test('readme: the first command builds, and serves until Ctrl-C', () =>
        serves(edited(command(/make run$/), ['--bootstrap', `--bootstrap ${configured()}`], ['make run', 'make run LISTEN=127.0.0.1:0']), '/mcp'));

    test('readme: the second command runs every test', async () => {
        const { code, stdout, output } = await run(...shell('make --dry-run test'));
        assert.equal(code, 0, output);
        assert.match(stdout, /^t\/run$/m);
        assert.match(command(/make test$/), /^\.\/configure --bootstrap && make test$/);
    });

    test('readme: a server of your own is served by one line', () =>
        serves(edited(command(/weir run -- /), ['run', 'run --listen 127.0.0.1:0']).replace(/^/, 'exec '), '/mcp'));

    test('readme: at the address and the path that the line says', () =>
        serves(edited(command(/weir run --listen/), ['127.0.0.1:9000', '127.0.0.1:0']).replace(/^/, 'exec '), '/everything'));

    describe('readme: its configuration', () => {
        let servers, weir;
        before(async () => {
            servers = await Promise.all([0, 1].map(() => startServer(everything.http)));
            const [text] = blocks('yaml');
            const there = edited(
                text,
                ['127.0.0.1:8080', '127.0.0.1:0'],
                ['127.0.0.1:9901', `"unix:${tree}/admin.sock"`],
                ['http://127.0.0.1:3001/mcp', servers[0].url],
                ['http://127.0.0.1:3002/mcp', servers[1].url]
            );
            writeFileSync(join(tree, 'weir.yaml'), there);
        });
        after(async () => {
            await weir?.stop();
            await Promise.all(servers.map(server => server.stop()));
        });
        const url = path => `http://${weir.stderr().match(/listener edge: listening on (\S+)/)[1]}${path}`;
        const say = async (pattern, expected = 0) => {
            const said = await run(...shell(command(pattern)));
            assert.equal(said.code, expected, said.stderr);
            return said;
        };

        test('readme: its configuration is checked', async () => {
            assert.equal((await say(/weir -t/)).stdout, 'configuration weir.yaml is fine\n');
        });

        test('readme: its configuration serves the demo and the servers over HTTP', async () => {
            const [, ...args] = command(/weir -c weir/).split(' ');
            weir = await runWeir(args, { program: join(tree, 'weir'), cwd: tree });
            await echoes(url('/mcp'));
            await echoes(url('/search/mcp'));
        });

        test('readme: its configuration makes `weir status` tell of both', async () => {
            const { stdout } = await say(/weir status/);
            const at = stdout.match(/^UPSTREAM.* MESSAGES/m)[0].length;
            for (const name of ['demo', 'search']) {
                const line = stdout.split('\n').find(text => text.startsWith(`${name} `));
                assert.ok(Number(line.slice(0, at).split(' ').at(-1)) > 0, line);
            }
        });

        test('readme: its configuration makes one line for each request', async () => {
            const lines = () => readFileSync(join(tree, 'access.log'), 'utf8').split('\n').slice(0, -1).map(line => JSON.parse(line));
            await until(() => lines().filter(({ method }) => method === 'tools/call').length === 2, 'both calls are logged');
        });

        test('readme: a reload loses no session, and a quit lets weir end', async () => {
            const me = await connect('client 1.x', url('/mcp'));
            await say(/reload/);
            await weir.task.seen(/ready: .*\(configuration 2\)/);
            await me.callTool('echo', { message: 'still here' });
            await me.close();
            await say(/quit/);
            assert.deepEqual(await weir.task.ended, { code: 0, signal: null });
            assert.ok(!existsSync(join(tree, 'weir.pid')));
        });
    });
}

if (waysThroughWeir.length > 0)
    test('readme: its edge and its inner weir are a pair', async () => {
        const [, inside, outside, ...others] = blocks('yaml');
        assert.deepEqual(others, []);
        const open = async (line, name, text, ...edits) => {
            writeFileSync(join(tree, name), edited(text, ...edits));
            const [, ...args] = command(line).split(' ');
            const weir = await runWeir(args, { program: join(tree, 'weir'), cwd: tree });
            return { ...weir, address: weir.stderr().match(/listener \w+: listening on (\S+)/)[1] };
        };
        const inner = await open(/weir -c inner/, 'inner.yaml', inside, ['127.0.0.1:9000', '127.0.0.1:0']);
        const edge = await open(/weir -c edge/, 'edge.yaml', outside, ['127.0.0.1:8080', '127.0.0.1:0'], ['127.0.0.1:9000', inner.address]);
        await echoes(`http://${edge.address}/mcp`);
        await edge.stop();
        await inner.stop();
    });

test('readme: the other commands it names work, and the places it points to are there', async () => {
    const inline = [...readme.matchAll(/`(\.\/weir [a-z ]+)`/g)].map(([, line]) => line);
    assert.ok(inline.length > 0);
    for (const line of inline) {
        const { code, stdout, stderr } = await run(...shell(line));
        assert.equal(code, 0, stderr);
        assert.notEqual(stdout, '');
    }
    for (const [, place] of readme.matchAll(/\]\(([^)]+)\)/g)) assert.ok(existsSync(join(tree, place, 'README.md')), place);
});
