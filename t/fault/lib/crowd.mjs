// Load: clients that call on and on, each in its own way. stop() ends them, and fails when one of them was ever failed.
import assert from 'node:assert/strict';
import { connect, kinds } from '../../e2e/lib/clients.mjs';
import { Connection, rpc, session, textOf, until } from './house.mjs';

/* An official client, with a session and its event stream. */
async function official(kind, url) {
    const me = await connect(kind, url);
    const once = async n => assert.match((await me.callTool('echo', { message: `${kind} ${n}` })).content[0].text, new RegExp(`${kind} ${n}`));
    return { once, leave: me.close };
}

/* One that keeps its connection as long as it may: the way reuse goes wrong first. */
async function keptAlive(url) {
    const one = await session(url);
    let connection;
    const once = async n => {
        connection ??= new Connection(url);
        connection.send('POST', one.headers, rpc('tools/call', { name: 'echo', arguments: { message: `${n}` } }, n));
        const head = await connection.head();
        const reply = JSON.parse(await connection.reply(head));
        assert.equal(head.status, 200);
        assert.equal(reply.id, n);
        assert.equal(textOf(reply), `${n}`);
        if (/close/i.test(head.headers.connection ?? '')) {
            connection.close();
            connection = undefined;
        }
    };
    const leave = async () => {
        connection?.close();
        assert.ok((await one.end()).status < 300);
    };
    return { once, leave };
}

/* One that comes for every call anew. */
async function stranger(url) {
    const one = await session(url);
    const once = async n => assert.equal(textOf(await one.call('tools/call', { name: 'echo', arguments: { message: `${n}` } }, n)), `${n}`);
    return { once, leave: async () => assert.ok((await one.end()).status < 300) };
}

const walkers = { ...Object.fromEntries(Object.keys(kinds).map(kind => [kind, url => official(kind, url)])), keptAlive, stranger };

/* Every kind of client at each of these upstreams. Resolves when each has been served once. */
export async function crowd(house, upstreams) {
    const failures = [];
    let isOver = false;
    const walk = async (name, make, url) => {
        let n = 0;
        const at = error => Object.assign(error, { message: `${name}, call ${n}: ${error.message}` });
        const client = await make(url);
        await client.once(++n);
        const done = (async () => {
            while (!isOver) await client.once(++n);
            await client.leave();
        })().catch(error => failures.push(at(error)));
        return { name, done, served: () => n };
    };
    const starting = upstreams.flatMap(upstream =>
        Object.entries(walkers).map(([kind, make]) => walk(`${upstream}, ${kind}`, make, house.url(upstream)))
    );
    const clients = await Promise.all(starting);
    const round = async () => {
        const before = clients.map(({ served }) => served());
        await until(
            () => failures.length > 0 || clients.every(({ served }, i) => served() > before[i] + 1),
            () => `everybody is served: ${clients.map(({ name, served }) => `${name}: ${served()}`)}`
        );
        if (failures.length > 0) throw failures[0];
    };
    /* Everybody is served at least once more, then leaves. */
    const stop = async () => {
        await round();
        isOver = true;
        await Promise.all(clients.map(({ done }) => done));
        if (failures.length > 0) throw failures[0];
    };
    return { round, stop };
}
