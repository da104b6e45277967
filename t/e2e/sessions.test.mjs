// Legacy sessions: kept apart, ended when told, served by whichever worker a connection reaches, resumed after a cut.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { isAlive, look, until } from './lib/process.mjs';
import { Connection, openSession, request, rpc } from './lib/raw.mjs';
import { setUpRecorder } from './lib/recorder.mjs';
import { ways, waysThroughWeir } from './lib/world.mjs';

const world = setUpRecorder();

const call = (session, name, args, id) => session.call('tools/call', { name, arguments: args }, id);
const textOf = reply => reply.result.content[0].text;
const pidOf = async session => Number(textOf(await call(session, 'pid')));
const listen = async session => {
    const stream = new Connection(session.url).send('GET', session.headers);
    assert.equal((await stream.head()).status, 200);
    return stream;
};
const open = async (way, options) => ({ ...(await openSession(world.url(way), options)), url: world.url(way) });

/* Starts a call whose stream stays open after its first event, and reads that event. */
async function hold(session, id) {
    const body = rpc('tools/call', { name: 'held', _meta: { progressToken: `token-${id}` } }, id);
    const stream = new Connection(session.url).send('POST', session.headers, body);
    const head = await stream.head();
    assert.match(head.headers['content-type'], /^text\/event-stream/);
    let first;
    do first = await stream.event();
    while (first.data === ''); // an event that only sets the id and the retry time
    assert.equal(JSON.parse(first.data).params.progress, 1);
    return { stream, first };
}

const resume = async (session, event) => {
    const stream = new Connection(session.url).send('GET', { ...session.headers, 'last-event-id': event.id });
    assert.equal((await stream.head()).status, 200);
    return stream;
};

const restOf = async stream => [JSON.parse((await stream.event()).data), JSON.parse((await stream.event()).data)];

for (const way of ways)
    describe(way, { concurrency: true }, () => {
        const scene = (name, play) => test(`${way}: ${name}`, play);

        scene('two_sessions_are_kept_apart', async () => {
            const [a, b] = await Promise.all([open(way, { name: 'a' }), open(way, { name: 'b' })]);
            assert.notEqual(a.id, b.id);
            const [heardByA, heardByB] = await Promise.all([listen(a), listen(b)]);
            await Promise.all([call(a, 'say', { text: 'for a' }), call(b, 'say', { text: 'for b' })]);
            for (const [stream, data] of [[heardByA, 'for a'], [heardByB, 'for b']]) // prettier-ignore
                assert.equal(JSON.parse((await stream.event()).data).params.data, data);
            const replies = await Promise.all([a, b].map((session, i) => call(session, 'echo', { message: `${i}` }, 'same id')));
            assert.deepEqual(replies.map(textOf), ['0', '1']);
            heardByA.close();
            heardByB.close();
            await Promise.all([a.end(), b.end()]);
        });

        scene('a_session_that_was_deleted_is_gone', async () => {
            const [session, other] = await Promise.all([open(way), open(way)]);
            assert.ok([200, 204].includes((await session.end()).status));
            assert.equal((await session.post(rpc('ping', undefined, 1))).status, 404);
            assert.equal((await request(session.url, 'GET', session.headers)).status, 404);
            assert.equal((await session.end()).status, 404);
            assert.equal((await other.post(rpc('ping', undefined, 1))).status, 200);
            await other.end();
        });

        scene('a_session_that_was_never_opened_is_not_found', async () => {
            const post = id => request(world.url(way), 'POST', { 'mcp-session-id': id }, rpc('ping', undefined, 1));
            for (const id of ['nonsense', 'x', '0'.repeat(64), `${'A'.repeat(300)}`, '../../etc'])
                assert.equal((await post(id)).status, 404, id);
        });

        scene('a_session_is_served_on_any_connection', async () => {
            const session = await open(way);
            const pid = await pidOf(session);
            const pids = await Promise.all(Array.from({ length: 32 }, () => pidOf(session)));
            assert.deepEqual([...new Set(pids)], [pid]);
            await session.end();
        });

        scene('a_stream_that_was_cut_is_resumed_after_the_last_event', async () => {
            const session = await open(way);
            const { stream, first } = await hold(session, 'cut');
            stream.cut();
            await call(session, 'release'); // the rest happens while nobody is connected
            const again = await resume(session, first);
            const [progress, reply] = await restOf(again);
            assert.equal(progress.params.progress, 2);
            assert.equal(reply.id, 'cut');
            assert.equal(textOf(reply), 'released');
            again.close();
            await session.end();
        });

        scene('a_stream_resumed_early_brings_what_comes_later', async () => {
            const session = await open(way);
            const { stream, first } = await hold(session, 'early');
            stream.cut();
            const again = await resume(session, first);
            await call(session, 'release');
            const [progress, reply] = await restOf(again);
            assert.equal(progress.params.progress, 2);
            assert.equal(reply.id, 'early');
            again.close();
            await session.end();
        });

        scene('the_stream_of_unasked_messages_is_resumed_too', async () => {
            const session = await open(way);
            const stream = await listen(session);
            await call(session, 'say', { text: 'one' });
            const first = await stream.event();
            stream.cut();
            await call(session, 'say', { text: 'two' });
            const again = await resume(session, first);
            assert.equal(JSON.parse((await again.event()).data).params.data, 'two');
            again.close();
            await session.end();
        });
    });

for (const way of waysThroughWeir)
    test(`${way}: a_token_that_was_changed_is_not_found`, async () => {
        const session = await open(way);
        assert.match(session.id, /^[\x21-\x7e]+$/);
        const { length } = session.id;
        for (const at of [0, 1, Math.floor(length / 2), length - 2, length - 1]) {
            const forged = session.id.slice(0, at) + (session.id[at] === 'A' ? 'B' : 'A') + session.id.slice(at + 1);
            const reply = await session.post(rpc('ping', undefined, 1), { 'mcp-session-id': forged });
            assert.equal(reply.status, 404, `changed at ${at} of ${length}`);
        }
        const cut = await session.post(rpc('ping', undefined, 1), { 'mcp-session-id': session.id.slice(0, -1) });
        assert.equal(cut.status, 404);
        assert.equal((await session.post(rpc('ping', undefined, 1))).status, 200);
        await session.end();
    });

if (ways.includes('http') && ways.includes('stdio'))
    test('a_token_is_good_for_its_own_upstream_only', async () => {
        const session = await open('http');
        const reply = await request(world.url('stdio'), 'POST', session.headers, rpc('ping', undefined, 1));
        assert.equal(reply.status, 404);
        await session.end();
    });

if (ways.includes('stdio')) {
    test('stdio: each_session_has_a_child_of_its_own_that_ends_with_it', async () => {
        const [a, b] = await Promise.all([open('stdio'), open('stdio')]);
        const [first, second] = (await Promise.all([pidOf(a), pidOf(b)])).map(look);
        assert.notEqual(first.pid, second.pid);
        await a.end();
        await until(() => look(first.pid)?.started !== first.started, 'the child of a deleted session is gone, and reaped');
        assert.ok(isAlive(second));
        assert.equal(await pidOf(b), second.pid);
        await b.end();
    });

    test('stdio: a_child_that_dies_fails_its_call_and_ends_its_session', async () => {
        const session = await open('stdio');
        const reply = await session.post(rpc('tools/call', { name: 'exit', arguments: { status: 3 } }, 'last'));
        const { id, error } = JSON.parse(reply.text);
        assert.equal(id, 'last');
        assert.equal(error.code, -32000);
        assert.equal(error.data.reason, 'server_died');
        assert.equal(reply.status, 502);
        assert.equal((await session.post(rpc('ping', undefined, 1))).status, 404);
    });
}
