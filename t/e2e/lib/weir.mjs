// Starts weir, finds its ports, and holds it to a clean end: status 0, no sanitizer report, no process left behind.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { descendants, isAlive, look, marked, start, until } from './process.mjs';

export const here = resolve(dirname(fileURLToPath(import.meta.url)), '..');
export const repo = resolve(here, '../..');
export const binary = resolve(repo, process.env.WEIR ?? 'weir');

const MARK = 'WEIR_E2E';
const REPORTS = /ERROR: (Address|Leak|Thread|Memory|UndefinedBehavior)Sanitizer|LeakSanitizer: detected|runtime error:/;

/* Ends weir by `signal` and fails when it did not end well, or left anything behind. */
async function endWell(task, mark, signal) {
    const children = descendants(task.pid);
    task.child.kill(signal);
    await task.exited;
    const left = () => [...children.filter(isAlive), ...marked(MARK, mark)];
    const said = () => `\n${task.stderr}`;
    await until(
        () => left().length === 0,
        () => `no process outlives weir; these do: ${JSON.stringify(left())}${said()}`,
        10_000
    );
    const { code, signal: killer } = await task.ended;
    assert.doesNotMatch(task.stderr, REPORTS, `a sanitizer reported${said()}`);
    assert.equal(killer, null, `weir was killed by ${killer}${said()}`);
    assert.equal(code, 0, `weir ended with status ${code}${said()}`);
}

/* Runs `weir ARGUMENTS` in the foreground until `ready:` is on its stderr; `program` is another weir than the one under test. */
export async function runWeir(args, { signal = 'SIGTERM', env = {}, program = binary, cwd = repo } = {}) {
    const mark = randomUUID();
    const task = start(program, args, { cwd, env: { ...process.env, ...env, [MARK]: mark } });
    await task.seen(/ready:/);
    return { ...task, task, stderr: () => task.stderr, stdout: () => task.stdout, stop: () => endWell(task, mark, signal) };
}

/* Runs weir with a configuration text. `url(listener, path)` is where that listener answers, `admin(path)` the admin service. */
export async function startWeir(configuration, options = {}) {
    const folder = mkdtempSync(join(tmpdir(), 'weir-e2e-'));
    const file = join(folder, 'weir.yaml');
    writeFileSync(file, configuration);
    let weir;
    try {
        weir = await runWeir(['-c', file], options);
    } catch (error) {
        rmSync(folder, { recursive: true });
        throw error;
    }
    const portOf = owner => {
        const line = weir.stderr().match(new RegExp(`${owner}: listening on 127\\.0\\.0\\.1:(\\d+)`));
        assert.ok(line, `the log names the port of ${owner}:\n${weir.stderr()}`);
        return Number(line[1]);
    };
    const port = name => portOf(`listener ${name}`);
    const admin = path => `http://127.0.0.1:${portOf('admin')}${path}`;
    const status = async () => (await fetch(admin('/status'))).json();
    const stop = async () => {
        await weir.stop();
        rmSync(folder, { recursive: true });
    };
    return { ...weir, folder, file, port, admin, status, stop, url: (name, path) => `http://127.0.0.1:${port(name)}${path}` };
}

const workersOf = ({ pid }) => descendants(pid).filter(({ command }) => command.startsWith('weir: worker/'));

/* Has weir read its configuration again, and waits until only the new workers serve: the old ones take clients for a moment after the
 * log has said `ready:`. Returns the pids of the old. */
export async function renew(weir) {
    const readies = () => [...weir.stderr().matchAll(/ready: (\d+) workers/g)];
    const old = workersOf(weir).map(({ pid }) => pid);
    const { length } = readies();
    process.kill(weir.pid, 'SIGHUP');
    const isOver = () => readies().length > length && workersOf(weir).length === Number(readies().at(-1)[1]);
    await until(isOver, () => `only new workers serve:\n${weir.stderr()}`);
    return old;
}

/* A port that nobody listens on, for one who says it beforehand. It is none of those that the kernel gives to whoever asks for any, so that
 * nobody else has it meanwhile. */
export async function freePort() {
    for (;;) {
        const port = 10_000 + Math.floor(Math.random() * 20_000);
        const server = net.createServer();
        const isFree = await new Promise(resolve => server.once('error', () => resolve(false)).listen(port, '127.0.0.1', () => resolve(true)));
        if (!isFree) continue;
        await new Promise(resolve => server.close(resolve));
        return port;
    }
}

/* What happens during `play` the only worker finds in one turn of its loop. */
export async function whileWorkerSleeps(weir, play) {
    const [worker] = workersOf(weir);
    process.kill(worker.pid, 'SIGSTOP');
    await until(() => look(worker.pid).state === 'T', 'the worker sleeps');
    try {
        await play();
    } finally {
        process.kill(worker.pid, 'SIGCONT');
    }
}
