// A running weir whose processes can be looked at, hurt, and told to change.
import assert from 'node:assert/strict';
import { readdirSync, readlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { descendants, look, start, until } from '../../e2e/lib/process.mjs';
import { Connection, openSession, request, rpc } from '../../e2e/lib/raw.mjs';
import { binary, here as e2e, renew, repo, startWeir } from '../../e2e/lib/weir.mjs';
import { node } from '../../e2e/lib/world.mjs';

export const here = join(repo, 't/fault');
export const weir = binary;
export { repo };
export const demo = [join(repo, 'build/weir-demo')];
export const child = (...how) => [node, join(here, 'servers/child.mjs'), ...how];
export const recorder = (transport, record = '/dev/null') => [node, join(e2e, 'servers/recorder.mjs'), record, transport];
export const shell = line => ['sh', '-c', line];

/* Upstreams. */
export const stdio = (command, more) => ({ transport: 'stdio', command, chain: ['pool'], ...more });
export const http = (url, more) => ({ transport: 'http', servers: [{ url }], chain: ['pool'], ...more });

const routesTo = names => names.map(name => ({ path: `/${name}`, upstream: name }));

/* A listener on a free port with a route per upstream, /NAME. */
export const listener = (upstreams, more) => ({
    transport: 'http',
    listen: '127.0.0.1:0',
    routes: routesTo(Object.keys(upstreams)),
    ...more
});

/* A configuration: of these upstreams, with what is said otherwise. */
export const plan = (upstreams, more) => ({
    workers: 2,
    drain_timeout: '60s',
    log: { level: 'info', file: 'stderr' },
    modules: ['http', 'stdio', 'pool'],
    listeners: { edge: listener(upstreams) },
    upstreams,
    ...more
});

const titled = (all, title) => all.filter(({ command }) => command.startsWith(`weir: ${title}`));
const count = (text, pattern) => text.match(new RegExp(pattern, 'gm'))?.length ?? 0;

/* The processes of a weir, by what they are. */
export const family = pid => {
    /* One that is ending has no command line any more, some time before it is a zombie. */
    const all = () => descendants(pid).filter(({ state, command }) => state !== 'Z' && command !== '');
    return {
        all,
        workers: () => titled(all(), 'worker/'),
        keeper: () => titled(all(), 'keeper/')[0],
        keepers: () => titled(all(), 'keeper/'),
        minders: () => all().filter(({ command }) => command.startsWith('mcp:')),
        /* What the minders mind: the servers themselves, and all that these started. */
        servers: () => all().filter(({ command }) => !/^(weir|mcp):/.test(command) && !/weir -c/.test(command)),
        zombies: () => descendants(pid).filter(({ state }) => state === 'Z')
    };
};

/* Kills one that may have gone meanwhile. */
export function slay({ pid }) {
    try {
        process.kill(pid, 'SIGKILL');
    } catch (error) {
        if (error.code !== 'ESRCH') throw error;
    }
}

/* The descriptors of a process, and what they lead to. */
export const descriptors = ({ pid }) =>
    readdirSync(`/proc/${pid}/fd`).flatMap(fd => {
        try {
            return [`${fd} ${readlinkSync(`/proc/${pid}/fd/${fd}`)}`];
        } catch {
            return []; // closed meanwhile
        }
    });

/* One that is seen once may be about to be reaped; one that stays is never reaped. */
export const noZombie = ({ zombies }) =>
    until(
        () => zombies().length === 0,
        () => `no zombie; there are ${JSON.stringify(zombies())}`
    );

const textFor = configuration => (typeof configuration === 'string' ? configuration : JSON.stringify(configuration, null, 1));

/* Starts weir with a plan, or the text of one. What the handle of startWeir() can, and:
 *
 *   workers() keeper() servers() …   its processes now
 *   url(upstream)                    where clients reach it, on listener `edge`
 *   log(pattern)                     waits for a line; logged(pattern): the lines so far
 *   write(plan), reload(plan)        changes the file; and puts it in force: old workers may still take clients for a moment
 *   renew(plan)                      the same, and waits until they have left
 *   refuse(plan)                     the same for one that must not come in force; what the log said of it
 *   end()                            ends it by TERM and finds nothing amiss: status, zombies, processes left behind
 */
export async function open(configuration, options) {
    const weir = await startWeir(textFor(configuration), options);
    const task = weir.task;
    const kin = family(weir.pid);
    const signal = name => process.kill(weir.pid, name);
    const write = changed => writeFileSync(weir.file, textFor(changed));
    const logged = pattern => weir.stderr().match(new RegExp(`^.*(${pattern}).*$`, 'gm')) ?? [];
    const log = pattern =>
        until(
            () => logged(pattern)[0],
            () => `the log says ${pattern}:\n${weir.stderr()}`
        );
    const readies = () => count(weir.stderr(), 'ready: ');
    const reload = async changed => {
        if (changed !== undefined) write(changed);
        const before = readies();
        signal('SIGHUP');
        await until(
            () => readies() > before,
            () => `a reload is over:\n${weir.stderr()}`
        );
    };
    const renewed = async changed => {
        if (changed !== undefined) write(changed);
        await renew(weir);
    };
    const refuse = async changed => {
        if (changed !== undefined) write(changed);
        const failed = () => count(weir.stderr(), 'reload failed');
        const before = [failed(), weir.stderr().length];
        signal('SIGHUP');
        await until(
            () => failed() > before[0],
            () => `a reload is refused:\n${weir.stderr()}`
        );
        return weir.stderr().slice(before[1]);
    };
    const end = async () => {
        await noZombie(kin);
        await weir.stop();
    };
    const url = (upstream, name = 'edge') => weir.url(name, `/${upstream}`);
    return { ...weir, ...kin, task, signal, write, logged, log, reload, renew: renewed, refuse, end, url, edge: weir.url };
}

/* Ends what hangs; nothing is measured by it. */
export const inTime = (playing, seconds = 90) => {
    let timer;
    const limit = new Promise((_, reject) => (timer = setTimeout(() => reject(new Error(`the scene hangs: ${seconds} s`)), 1000 * seconds)));
    return Promise.race([playing, limit]).finally(() => clearTimeout(timer));
};

/* Plays a scene in a house and ends the house, whatever happens in it. */
export const inHouse = (configuration, play, options) => async () => {
    const house = await open(await (typeof configuration === 'function' ? configuration() : configuration), options);
    try {
        await inTime(play(house));
    } catch (error) {
        error.message += `\n--- the log of weir:\n${house.stderr()}`;
        house.task.child.kill('SIGKILL');
        throw error;
    }
    await house.end();
};

/* A server over HTTP that is ended with the test. */
export { startServer } from '../../e2e/lib/world.mjs';

/* ---- sessions by hand ---- */

export const call = (session, name, args = {}, id) => session.call('tools/call', { name, arguments: args }, id);
export const textOf = reply => {
    assert.ok(reply.result, `a result, not ${JSON.stringify(reply)}`);
    return reply.result.content[0].text;
};
export const session = async (url, options) => ({ ...(await openSession(url, options)), url });

/* A call that has begun to stream and waits for `release` in the same session. */
export async function hold(one, id = 'held') {
    const body = rpc('tools/call', { name: 'held', arguments: {}, _meta: { progressToken: `token-${id}` } }, id);
    const stream = new Connection(one.url).send('POST', one.headers, body);
    const head = await stream.head();
    assert.match(head.headers['content-type'] ?? '', /^text\/event-stream/, JSON.stringify(head));
    const event = await nextEvent(stream);
    assert.equal(JSON.parse(event.data).params.progress, 1);
    return { stream, event, id };
}

/* The next event that carries something. */
export async function nextEvent(stream) {
    let event;
    do event = await stream.event();
    while (event && event.data === '');
    return event;
}

/* Lets a held call go, and reads the rest of it on its own stream. */
export async function release(one, { stream, id }) {
    assert.equal(textOf(await call(one, 'release')), 'done');
    assert.equal(JSON.parse((await nextEvent(stream)).data).params.progress, 2);
    const reply = JSON.parse((await nextEvent(stream)).data);
    assert.equal(reply.id, id);
    assert.equal(textOf(reply), 'released');
}

/* A call that is with the server and will not be answered: what becomes of it. */
export async function wait(house, one, id = 'waiting') {
    const before = house.logged('stderr: waiting').length;
    const reply = one.post(rpc('tools/call', { name: 'wait', arguments: {} }, id));
    await until(() => house.logged('stderr: waiting').length > before, 'the server has the call');
    return { reply };
}

/* What a server has started, in every way there is to get away: itself, and what it is to take along. */
export async function breed(one) {
    const pids = [await pidOf(one)];
    for (const how of ['plain', 'deaf', 'daemon']) pids.push(Number(textOf(await call(one, 'start', { how }))));
    return pids.map(look);
}

/* The session's own stream. */
export async function listen(one) {
    const stream = new Connection(one.url).send('GET', one.headers);
    assert.equal((await stream.head()).status, 200);
    return stream;
}

export { freePort } from '../../e2e/lib/weir.mjs';

export const pidOf = async one => Number(textOf(await call(one, 'pid')));
export const gone = ({ pid, started }) => look(pid)?.started !== started;
export { Connection, request, rpc, start, until, look };
export { isAlive, servedBy } from '../../e2e/lib/process.mjs';
