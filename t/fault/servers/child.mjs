// An MCP server over stdio, of both eras, that misbehaves on demand: `child.mjs [HABIT…]`.
//
// Habits: mute      never answers anything
//         stubborn  heeds neither the end of its stdin nor SIGTERM
//         deaf      stops reading after `initialize`
//
// Tools: pid             this process
//        about           its environment variable `name`, folder, user, limits
//        start           starts something that outlives it unless somebody sees to it: { how: plain | deaf | daemon }, its pid
//        exit            ends at once with `status`, or by `signal`
//        say             writes `text` to stdout as it is, then answers
//        reply           answers with `bytes` bytes
//        flood           `count` progress notifications of `bytes` bytes, then answers
//        complain        `count` lines on stderr, then answers
//        wait            says so on stderr, and never answers
//        held, release   as those of the recorder
import { spawn } from 'node:child_process';
import { readFileSync, writeSync } from 'node:fs';
import { createInterface } from 'node:readline';

const habits = process.argv.slice(2);
if (habits.includes('stubborn')) {
    process.on('SIGTERM', () => {});
    setInterval(() => {}, 1e9);
}

/* Commands that say their pid and go on for ever. `deaf` ones ignore what can be ignored; a daemon has left its group, its
 * session and its parent. */
const lines = {
    plain: 'echo $$; exec sleep 1000000',
    deaf: 'trap "" HUP INT TERM; echo $$; exec sleep 1000000',
    daemon: `setsid sh -c 'trap "" HUP INT TERM; (echo $(exec sh -c "echo \\$PPID"); exec sleep 1000000) &'`
};

const startOne = how =>
    new Promise(resolve =>
        spawn('sh', ['-c', lines[how]], { stdio: ['ignore', 'pipe', 'ignore'] }).stdout.once('data', text => resolve(Number(text)))
    );

const held = [];
const send = body => process.stdout.write(`${JSON.stringify({ jsonrpc: '2.0', ...body })}\n`);
const flushed = () => new Promise(resolve => process.stdout.write('', resolve));

const tools = {
    pid: () => process.pid,
    about: ({ name }) =>
        JSON.stringify({
            env: process.env[name],
            cwd: process.cwd(),
            uid: process.getuid(),
            gid: process.getgid(),
            limits: readFileSync('/proc/self/limits', 'utf8')
        }),
    start: ({ how }) => startOne(how),
    exit: ({ status, signal }) => (signal ? process.kill(process.pid, signal) : process.exit(status)),
    say: async ({ text }) => {
        process.stdout.write(text);
        await flushed();
        return 'said';
    },
    wait: () => {
        console.error('waiting');
        return new Promise(() => {});
    },
    reply: ({ bytes }) => 'x'.repeat(bytes),
    flood: async ({ count, bytes }, notify) => {
        for (let i = 1; i <= count; i++) {
            notify(i, 'x'.repeat(bytes));
            await flushed();
        }
        return 'flooded';
    },
    complain: ({ count }) => {
        const line = `${'complaint '.repeat(20)}\n`;
        for (let i = 0; i < count; i++) writeSync(2, line);
        return 'complained';
    },
    held: (_, notify) => {
        notify(1);
        return new Promise(resolve => held.push(() => (notify(2), resolve('released'))));
    },
    release: () => (held.splice(0).forEach(go => go()), 'done')
};

async function callTool(id, { name, arguments: args = {}, _meta }) {
    const progressToken = _meta?.progressToken;
    const notify = (progress, message) => send({ method: 'notifications/progress', params: { progressToken, progress, total: 2, message } });
    const said = await tools[name](args, notify);
    if (said !== undefined) send({ id, result: { resultType: 'complete', content: [{ type: 'text', text: String(said) }] } });
}

createInterface({ input: process.stdin }).on('line', line => {
    const { id, method, params } = JSON.parse(line);
    if (habits.includes('mute') || id === undefined) return;
    if (habits.includes('deaf')) process.stdin.pause();
    if (method === 'initialize')
        send({ id, result: { protocolVersion: params.protocolVersion, capabilities: { tools: {} }, serverInfo: { name: 'child', version: '1' } } });
    else if (method === 'tools/call') callTool(id, params);
    else if (method === 'server/discover')
        send({ id, result: { resultType: 'complete', ttlMs: 0, cacheScope: 'private', supportedVersions: ['2026-07-28'], capabilities: { tools: {} } } });
    else if (method === 'ping') send({ id, result: {} });
    else send({ id, error: { code: -32601, message: `no method ${method}` } });
});
