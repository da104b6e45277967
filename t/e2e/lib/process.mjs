// Child processes of the tests: started, awaited by what they print, ended, and looked for in /proc afterwards.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

const running = new Set();
process.on('exit', () => running.forEach(child => child.kill('SIGKILL')));
process.on('SIGTERM', () => process.exit(143)); // the runner's, when a file takes too long

/* Waits until `condition` returns something true, and returns it. The limit ends a hang and is no measurement. */
export async function until(condition, what, limit_ms = 30_000) {
    const end = Date.now() + limit_ms;
    for (;;) {
        const value = await condition();
        if (value) return value;
        if (Date.now() > end) throw new Error(`still not so: ${typeof what === 'function' ? what() : what}`);
        await new Promise(resolve => setTimeout(resolve, 5));
    }
}

/* A running command with all it has printed (`output`, `stdout`, `stderr`), and `seen(pattern)`: the first match in what it
 * prints, or a failure that quotes its output when it ends before. */
export function start(command, args, options = {}) {
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], ...options });
    running.add(child);
    const task = { child, pid: child.pid, output: '', stdout: '', stderr: '', status: null };
    const watchers = new Set();
    for (const name of ['stdout', 'stderr'])
        child[name].setEncoding('utf8').on('data', text => {
            task[name] += text;
            task.output += text;
            watchers.forEach(look => look());
        });
    task.ended = new Promise((resolve, reject) => {
        child.on('error', reject);
        child.on('close', (code, signal) => {
            running.delete(child);
            task.status = { code, signal };
            watchers.forEach(look => look());
            resolve(task.status);
        });
    });
    task.ended.catch(() => {});
    task.exited = new Promise(resolve => child.on('exit', resolve)); // what it left behind may still hold its output open
    task.seen = pattern =>
        new Promise((resolve, reject) => {
            const look = () => {
                const match = task.output.match(pattern);
                if (!match && !task.status) return;
                watchers.delete(look);
                if (match) resolve(match);
                else reject(new Error(`${command} ended (${JSON.stringify(task.status)}) before ${pattern}:\n${task.output}`));
            };
            watchers.add(look);
            child.once('error', error => reject(new Error(`cannot start ${command}: ${error.message}`)));
            look();
        });
    task.stop = async (signal = 'SIGTERM') => {
        if (!task.status) child.kill(signal);
        return task.ended;
    };
    return task;
}

/* Runs a command to its end: { code, signal } and what it printed. */
export async function run(command, args, options) {
    const task = start(command, args, options);
    const { code, signal } = await task.ended;
    return { code, signal, stdout: task.stdout, stderr: task.stderr, output: task.output };
}

/* What /proc says of one process, or null when it is gone; `started` tells it from a later one with the same pid. */
export function look(pid) {
    try {
        const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
        const [state, ppid, ...rest] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
        const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim();
        return { pid: Number(pid), state, ppid: Number(ppid), started: rest[17], resident: Number(rest[19]) / 256, command };
    } catch {
        return null;
    }
}

const everyone = () => readdirSync('/proc').filter(name => /^\d+$/.test(name)).map(look).filter(Boolean);

/* The pids of a process's children, by which of its threads started them. */
function childrenOf(pid) {
    try {
        const threads = readdirSync(`/proc/${pid}/task`);
        return threads.flatMap(thread => readFileSync(`/proc/${pid}/task/${thread}/children`, 'latin1').split(' ').filter(Boolean));
    } catch {
        return []; // it has gone meanwhile
    }
}

/* The descendants of a process, children first. */
export function descendants(pid) {
    const found = [];
    for (let parents = [pid]; parents.length; ) {
        parents = parents.flatMap(childrenOf);
        found.push(...parents.map(look).filter(Boolean));
    }
    return found;
}

/* Is this very process (not a namesake) still running? A zombie has ended: it waits for its parent only. */
export function isAlive({ pid, started }) {
    const now = look(pid);
    return now !== null && now.started === started && now.state !== 'Z';
}

/* The running processes whose environment carries NAME=value. */
export function marked(name, value) {
    return everyone().filter(({ pid, state }) => {
        if (state === 'Z') return false;
        try {
            return readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0').includes(`${name}=${value}`);
        } catch {
            return false;
        }
    });
}

/* The process among `processes` that serves a connection: the kernel knows the socket by its inode. */
export function servedBy(connection, processes) {
    const hex = port => port.toString(16).toUpperCase().padStart(4, '0');
    const [mine, theirs] = [hex(connection.port), hex(Number(connection.url.port))];
    const rows = readFileSync('/proc/net/tcp', 'utf8').split('\n').map(row => row.trim().split(/\s+/));
    const row = rows.find(([, local, remote]) => local?.endsWith(`:${theirs}`) && remote?.endsWith(`:${mine}`));
    const socket = `socket:[${row[9]}]`;
    const has = ({ pid }) => readdirSync(`/proc/${pid}/fd`).some(fd => linkOf(`/proc/${pid}/fd/${fd}`) === socket);
    const found = processes.find(has);
    assert.ok(found, 'a worker has the other end of the connection');
    return found;
}

const linkOf = path => {
    try {
        return readlinkSync(path);
    } catch {
        return null; // closed meanwhile
    }
};

export { once };
