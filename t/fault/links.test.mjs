// The link between an edge and an inner weir: cut, stalled, reloaded at either end, crowded, and told nonsense.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { connectLink, frame, head, hello, Link, number, open, payload, record, text, word } from '../e2e/lib/mux.mjs';
import { crowd } from './lib/crowd.mjs';
import { call, child, Connection, hold, http, inHouse, inTime, listen, listener, nextEvent, open as openHouse, pidOf, plan, recorder, release, request, rpc, session, slay, startServer, stdio, textOf, until, wait } from './lib/house.mjs'; // prettier-ignore
import { relay } from './lib/relay.mjs';

let server;
before(async () => (server = await startServer(recorder('http'))));
after(() => server.stop());

const modules = ['http', 'stdio', 'tcp', 'pool', 'batch', 'compress', 'codec_lz4'];
const gathered = [{ batch: { max_delay: 0 } }, { compress: { codec: 'lz4', min_size: 256 } }];
const admin = { listen: '127.0.0.1:0' };

const innerPlan = (upstreams, { listening = {}, ...more } = {}) =>
    plan(upstreams, { modules, admin, listeners: { inner: listener(upstreams, { transport: 'tcp', framing: 'mux', chain: gathered, ...listening }) }, ...more });
const edgePlan = (address, upstreams, { upstream = {}, chain = gathered, ...more } = {}) => {
    const routes = Object.keys(upstreams).map(name => ({ path: `/${name}`, upstream: 'inner' }));
    const link = { transport: 'tcp', framing: 'mux', servers: [{ address }], chain: [{ pool: { max: 1, exchanges_per_link: 1000 } }, ...chain], ...upstream };
    return plan({ inner: link }, { modules, admin, listeners: { edge: listener({}, { routes }) }, ...more });
};

/* A scene with two weirs, and a relay between them. */
const onTheLink = (upstreamsOf, play, { inside, outside } = {}) => async () => {
    const upstreams = upstreamsOf();
    await inHouse(innerPlan(upstreams, inside), async inner => {
        const wire = await relay(`http://127.0.0.1:${inner.port('inner')}`);
        try {
            const address = new URL(wire.url).host;
            const plans = { edge: more => edgePlan(address, upstreams, { ...outside, ...more }), inner: more => innerPlan(upstreams, { ...inside, ...more }) };
            await inHouse(plans.edge(), edge => play({ edge, inner, wire, plans }))();
        } finally {
            await wire.leave();
        }
    })();
};
const both = () => ({ a: stdio(child()), b: http(server.url) });
const alone = () => ({ a: stdio(child()) });

const reasonOf = ({ text }) => JSON.parse(text).error.data.reason;
const modern = (name, args = {}, id = 1) =>
    rpc('tools/call', { name, arguments: args, _meta: { 'io.modelcontextprotocol/protocolVersion': '2026-07-28', 'io.modelcontextprotocol/clientInfo': { name: 'x', version: '1' }, 'io.modelcontextprotocol/clientCapabilities': {} } }, id); // prettier-ignore
const modernHeaders = name => ({ 'mcp-protocol-version': '2026-07-28', 'mcp-method': 'tools/call', 'mcp-name': name });
const ask = (url, name, args, id) => request(url, 'POST', modernHeaders(name), modern(name, args, id));

/* A call that the child behind the inner weir has and will not answer. */
async function waiting(inner, one) {
    const before = inner.logged('stderr: waiting').length;
    const reply = one.post(rpc('tools/call', { name: 'wait', arguments: {} }, 'waiting'));
    await until(() => inner.logged('stderr: waiting').length > before, 'the server has the call');
    return reply;
}

/* ---- the link breaks ---- */

test(
    'a_link_that_is_cut_fails_what_is_in_flight_and_the_sessions_go_on',
    onTheLink(both, async ({ edge, inner, wire }) => {
        const [one, other, third] = [await session(edge.url('a')), await session(edge.url('a')), await session(edge.url('b'))];
        const pids = [await pidOf(one), await pidOf(other), await pidOf(third)];
        const held = await hold(one);
        const { length } = inner.logged('stderr: waiting');
        const reply = other.post(rpc('tools/call', { name: 'wait', arguments: {} }, 'waiting'));
        await until(() => inner.logged('stderr: waiting').length > length, 'the server has the call');
        wire.cut();
        const told = await reply;
        assert.equal(told.status, 502);
        assert.equal(JSON.parse(told.text).id, 'waiting');
        assert.equal(reasonOf(told), 'server_died');
        assert.match(JSON.parse(told.text).error.message, /inner: 127\.0\.0\.1:\d+: /, 'it names the link');
        const last = JSON.parse((await nextEvent(held.stream)).data);
        assert.equal(last.id, held.id);
        assert.equal(last.error.data.reason, 'server_died');
        assert.equal(await held.stream.event(), null);
        assert.deepEqual([await pidOf(one), await pidOf(other), await pidOf(third)], pids, 'each session is with the server it was with');
    })
);

test(
    'what_is_said_while_the_link_is_away_is_on_the_stream_that_comes_back',
    onTheLink(alone, async ({ edge, wire }) => {
        const one = await session(edge.url('a'));
        const note = data => JSON.stringify({ jsonrpc: '2.0', method: 'notifications/message', params: { level: 'info', data } });
        const say = data => call(one, 'say', { text: `${note(data)}\n` });
        const heard = async stream => JSON.parse((await nextEvent(stream)).data).params.data;
        const first = await listen(one);
        await say('before');
        const event = await nextEvent(first);
        assert.equal(JSON.parse(event.data).params.data, 'before');
        wire.cut();
        await assert.rejects(first.event(), /closed/, 'the stream is seen to be cut');
        await say('between');
        const again = new Connection(one.url).send('GET', { ...one.headers, 'last-event-id': event.id });
        assert.equal((await again.head()).status, 200);
        assert.equal(await heard(again), 'between');
        await say('after');
        assert.equal(await heard(again), 'after');
    })
);

test(
    'a_link_that_cannot_be_had_is_told_and_one_that_is_back_is_used',
    onTheLink(both, async ({ edge, wire }) => {
        const one = await session(edge.url('a'));
        const pid = await pidOf(one);
        await wire.leave();
        const told = await one.post(rpc('ping', undefined, 'where'));
        assert.equal(told.status, 502);
        assert.equal(reasonOf(told), 'connect_failed');
        await wire.come();
        await until(() => pidOf(one).then(it => it === pid, () => false), 'the session goes on'); // prettier-ignore
    })
);

test(
    'a_link_that_stalls_is_found_out_by_its_silence',
    onTheLink(
        alone,
        async ({ edge, inner, wire }) => {
            const one = await session(edge.url('a'));
            const pid = await pidOf(one);
            const stream = await listen(one);
            const reply = waiting(inner, one);
            await until(() => inner.logged('stderr: waiting').length > 0, 'the server has the call');
            wire.stall(true);
            const told = await reply;
            assert.equal(reasonOf(told), 'server_died');
            assert.match(JSON.parse(told.text).error.message, /did not answer a PING within ping_interval/);
            await assert.rejects(stream.event(), /closed/);
            await inner.log('nothing has come for idle_timeout');
            wire.stall(false);
            await until(() => pidOf(one).then(it => it === pid, () => false), 'the session goes on'); // prettier-ignore
        },
        { outside: { upstream: { ping_interval: '500ms' } }, inside: { listening: { idle_timeout: '1500ms' } } }
    )
);

test(
    'a_link_that_pings_is_kept_and_one_that_is_silent_is_not',
    inHouse(innerPlan({ a: stdio(child()) }, { listening: { idle_timeout: '500ms' } }), async inner => {
        const pings = connectLink(inner.port('inner')).say(hello());
        const silent = connectLink(inner.port('inner')).say(hello());
        await silent.seen(it => it.word === word.hello);
        for (let n = 1; !silent.isClosed; n++) {
            pings.say(record(0, word.ping));
            await until(() => pings.records.filter(it => it.word === word.pong).length === n, 'the ping is answered');
        }
        await inner.log('nothing has come for idle_timeout');
        assert.equal(inner.logged('nothing has come for idle_timeout').length, 1);
        assert.ok(!pings.isClosed);
        pings.socket.destroy();
    })
);

test(
    'a_worker_that_dies_at_either_end_fails_only_what_went_through_it',
    onTheLink(both, async ({ edge, inner }) => {
        const sessions = [await session(edge.url('a')), await session(edge.url('b'))];
        const pids = await Promise.all(sessions.map(pidOf));
        for (const house of [inner, edge, inner]) {
            house.workers().forEach(slay);
            await until(() => house.workers().length === 2, 'there are workers again');
            await until(() => Promise.all(sessions.map(pidOf)).then(now => now.every((pid, i) => pid === pids[i]), () => false), 'the sessions go on'); // prettier-ignore
        }
    })
);

test(
    'calls_whose_edge_has_died_are_cancelled_at_their_servers',
    onTheLink(
        () => ({ b: http(server.url) }),
        async ({ edge, inner }) => {
            const one = await session(edge.url('b'));
            const held = await hold(one);
            const busy = async () => (await inner.status()).upstreams.b.in_flight;
            await until(async () => (await busy()) > 0, 'it is under way');
            edge.workers().forEach(slay);
            await assert.rejects(held.stream.event());
            await until(async () => (await busy()) === 0, 'nobody waits for it at the inner weir');
        }
    )
);

/* ---- reload ---- */

test(
    'a_reload_at_either_end_under_load_fails_nobody',
    onTheLink(both, async ({ edge, inner, plans }) => {
        inner.write(plans.inner());
        const load = await crowd(edge, ['b']);
        for (const [house, more] of [[inner, plans.inner], [edge, plans.edge], [inner, plans.inner], [edge, plans.edge]]) {
            await house.reload(more());
            await load.round();
        }
        await load.stop();
    })
);

test(
    'a_call_that_is_under_way_at_a_reload_of_the_inner_weir_is_answered_on_the_link_it_came_by',
    onTheLink(alone, async ({ edge, inner, wire }) => {
        const one = await session(edge.url('a'));
        const held = await hold(one);
        const links = wire.count();
        await inner.reload();
        // what comes before the old worker has taken leave is still on its link
        await until(async () => (await pidOf(await session(edge.url('a'))), wire.count() > links), 'what comes after it has a new link');
        await release(one, held);
    })
);

/* ---- many clients ---- */

test(
    'a_client_that_does_not_read_holds_up_nobody_and_fills_no_queue',
    onTheLink(
        alone,
        async ({ edge }) => {
            const KIB = 1024, count = 2000, bytes = 32 * KIB; // 64 MiB
            const slow = await session(edge.url('a'));
            const stream = new Connection(slow.url).send('POST', slow.headers, rpc('tools/call', { name: 'flood', arguments: { count, bytes }, _meta: { progressToken: 'flood' } }, 'flood')); // prettier-ignore
            await stream.head();
            assert.ok((await nextEvent(stream)).data);
            stream.pause(true);
            const through = async () => (await edge.status()).upstreams.inner;
            const taken = async () => JSON.stringify(await through()).match(/"bytes_in_expanded":(\d+)/)?.[1];
            const quick = await Promise.all(Array.from({ length: 20 }, () => session(edge.url('a'))));
            await until(async () => {
                const before = Number(await taken());
                await Promise.all(quick.map(pidOf));
                return Number(await taken()) - before < bytes;
            }, 'the flood stands still while the others are served');
            assert.ok(Number(await taken()) < 16 * KIB * KIB, `${await taken()} bytes came over the link for a client that reads nothing`);
            await Promise.all(quick.map(pidOf));
            stream.pause(false);
            let seen = 1;
            for (let event; (event = await nextEvent(stream)); ) {
                const { params, id, result } = JSON.parse(event.data);
                if (id === 'flood') {
                    assert.equal(textOf({ result }), 'flooded');
                    break;
                }
                assert.equal(params.progress, (seen += 1));
                assert.equal(params.message.length, bytes);
            }
            assert.equal(seen, count);
        },
        { outside: { workers: 1 }, inside: { workers: 1 } }
    )
);

test(
    'more_exchanges_than_a_link_has_channels_wait_and_are_all_answered',
    onTheLink(
        alone,
        async ({ edge, wire }) => {
            const replies = await Promise.all(Array.from({ length: 40 }, (_, i) => ask(edge.url('a'), 'reply', { bytes: i }, i)));
            replies.forEach(({ text: said }, i) => assert.equal(textOf(JSON.parse(said)).length, i));
            assert.equal(wire.count(), 1, 'on one link');
        },
        { outside: { workers: 1 }, inside: { listening: { max_channels: 3 } } }
    )
);

test(
    'a_message_that_is_too_long_for_the_inner_weir_is_refused_alone',
    onTheLink(
        alone,
        async ({ edge, wire }) => {
            const one = await session(edge.url('a'));
            const pid = await pidOf(one);
            const { status, text: said } = await one.post(rpc('tools/call', { name: 'pid', arguments: { text: 'x'.repeat(100_000) } }, 'long'));
            assert.equal(status, 413);
            assert.match(said, /larger than the max_message of the other weir \(65536 bytes\)/);
            assert.equal(await pidOf(one), pid);
            assert.ok(wire.count() <= 2);
        },
        { inside: { listening: { max_message: '64KiB' } } }
    )
);

test(
    'an_edge_that_asks_whether_the_inner_weir_is_well_is_answered_by_it',
    onTheLink(
        alone,
        async ({ edge, inner }) => {
            const checks = async () => Object.values((await edge.status()).upstreams.inner.chain.find(({ module }) => module === 'pool').servers)[0];
            await until(async () => (await checks()).checks > 1, 'it is asked');
            assert.equal((await checks()).checks_failed, 0);
            assert.deepEqual(inner.logged('has no route'), []);
        },
        { outside: { upstream: { chain: [{ pool: { max: 1, health_check: '50ms' } }] } } }
    )
);

/* ---- nonsense, to the inner weir ---- */

const bye = 'the link from 127\\.0\\.0\\.1 is closed: ';
const discover = rpc('server/discover', { _meta: { 'io.modelcontextprotocol/protocolVersion': '2026-07-28', 'io.modelcontextprotocol/clientInfo': { name: 'x', version: '1' }, 'io.modelcontextprotocol/clientCapabilities': {} } }, 1); // prettier-ignore
const nonsense = {
    'a_length_of_4_gib': [() => Buffer.from([0xff, 0xff, 0xff, 0xff, 1]), 'a frame announces 4294967295 bytes'],
    'garbage': [() => frame(Buffer.from('GET / HTTP/1.1')), 'begins with 47 45 54 20'],
    'garbage_behind_a_magic': [() => frame(Buffer.from([0x04, 0x22, 0x4d, 0x18, 9, 9, 9, 9, 9, 9, 9, 9])), 'lz4'],
    'a_codec_that_is_not_there': [() => frame(Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0, 0])), 'begins with 28 b5 2f fd'],
    'no_hello': [() => frame(payload(open(1, discover))), 'does not begin with HELLO'],
    'a_version_of_tomorrow': [() => frame(payload(hello({ version: 2 }))), 'speaks version 2'],
    'half_a_hello': [() => frame(payload(record(0, word.hello, 1))), 'its HELLO breaks off'],
    'two_hellos': [() => frame(payload(hello(), hello())), 'a second HELLO'],
    'a_record_that_breaks_off': [() => frame(Buffer.concat([payload(hello()), number(1), number(100), Buffer.from('x')])), 'record 1 of a payload breaks off'],
    'an_empty_record': [() => frame(Buffer.concat([payload(hello()), number(1), number(0)])), 'record 1 of a payload is empty'],
    'a_number_without_end': [() => frame(Buffer.concat([payload(hello()), Buffer.alloc(11, 0xff)])), 'breaks off'],
    'a_word_that_nobody_knows': [() => frame(payload(hello(), record(1, 0x7f))), 'word 7f on channel 1'],
    'a_word_that_an_inner_weir_says': [() => frame(payload(hello(), record(1, word.head, number(200)))), 'word 20 on channel 1'],
    'an_unknown_word_on_channel_0': [() => frame(payload(hello(), record(0, 0x33))), 'word 33 on channel 0'],
    'an_open_that_breaks_off': [() => frame(payload(hello(), record(1, word.open, 0x08, number(50), 'x'))), 'the head of an OPEN is broken'],
    'an_open_of_a_verb_that_there_is_not': [() => frame(payload(hello(), open(1, discover, '/a', 0x0b))), 'asks for something that is not known'],
    'an_open_beyond_max_channels': [() => frame(payload(hello(), open(5000, discover))), 'beyond max_channels'],
    'an_open_of_a_channel_that_is_open': [() => frame(payload(hello(), open(1, modern('wait')), open(1, discover))), 'an OPEN of channel 1, which is open'],
    'a_head_with_a_line_break_in_a_field': [
        () => frame(payload(hello(), record(1, word.open, 0x28, text(''), text('p'), text('/a'), 1, 0, text('X-A'), text('b\r\nEvil: 1'), discover))),
        'the head of an OPEN is broken'
    ],
    'a_head_that_frames_the_message_anew': [
        () => frame(payload(hello(), record(1, word.open, 0x28, text(''), text('p'), text('/a'), 1, 0, text('Content-Length'), text('3'), discover))),
        'the head of an OPEN is broken'
    ]
};

test(
    'nonsense_on_a_link_ends_that_link_and_no_other',
    inHouse(innerPlan({ a: stdio(child()) }), async inner => {
        const good = connectLink(inner.port('inner')).say(hello());
        await good.seen(it => it.word === word.hello);
        let channel = 0;
        for (const [name, [bytes, story]] of Object.entries(nonsense)) {
            const before = inner.logged(bye).length;
            const link = connectLink(inner.port('inner'));
            link.socket.write(bytes());
            await link.closed();
            await until(() => inner.logged(bye).length > before, () => `the log tells of ${name}:\n${inner.stderr()}`); // prettier-ignore
            assert.match(inner.logged(bye).at(-1), new RegExp(story), name);
            good.say(open((channel += 1), discover));
            const answer = await good.seen(it => it.channel === channel);
            assert.equal(answer.word, word.head, `${name}: others are served`);
        }
        assert.equal(inner.workers().length, 2);
        good.socket.destroy();
    })
);

test(
    'half_a_frame_waits_and_its_other_half_is_served',
    inHouse(innerPlan({ a: stdio(child()) }), async inner => {
        const link = connectLink(inner.port('inner'));
        const bytes = frame(payload(hello(), open(1, discover)));
        for (const byte of bytes) link.socket.write(Buffer.from([byte]));
        assert.match((await link.seen(it => it.word === word.head)).body.toString(), /supportedVersions/);
        link.socket.end(bytes.subarray(0, 7));
        await link.closed();
    })
);

test(
    'credit_and_cancellation_that_come_late_are_skipped',
    inHouse(innerPlan({ a: stdio(child()) }), async inner => {
        const link = connectLink(inner.port('inner')).say(hello(), open(1, discover));
        await link.seen(it => it.channel === 1 && it.word === word.head);
        link.say(record(1, word.credit, number(100)), record(1, word.cancel), record(2, word.cancel), record(0, word.ping));
        await link.seen(it => it.word === word.pong);
        link.say(open(1, discover)); // its number is free again
        await until(() => link.records.filter(it => it.channel === 1 && it.word === word.head).length === 2, 'the number is used again');
        link.socket.destroy();
    })
);

test(
    'a_channel_that_is_cancelled_has_an_end_and_its_call_is_taken_back',
    inHouse(innerPlan({ a: stdio(child()) }), async inner => {
        const link = connectLink(inner.port('inner')).say(hello(), open(1, modern('wait')));
        await inner.log('stderr: waiting');
        link.say(record(1, word.cancel));
        await link.seen(it => it.channel === 1 && it.word === word.end);
        await until(async () => (await inner.status()).upstreams.a.in_flight === 0, 'nobody waits for it');
        link.socket.destroy();
    })
);

/* ---- nonsense, to the edge ---- */

const lies = {
    'data_on_a_channel_that_is_not_open': [() => [record(77, word.data, 'x')], 'word 21 on channel 77, which is not open'],
    'data_before_a_head': [channel => [record(channel, word.data, 'x')], 'comes before its head'],
    'a_second_head': [channel => [record(channel, ...head(200, 5)), record(channel, ...head(200, 5))], 'a second head on channel', 'begun'],
    'a_body_that_is_longer_than_its_head_says': [
        channel => [record(channel, ...head(200, 3)), record(channel, word.data, 'four')],
        'longer than its head says',
        'begun'
    ],
    'a_status_that_there_is_not': [channel => [record(channel, ...head(20, 3))], 'the head of a reply is broken'],
    'a_field_with_a_line_break': [channel => [record(channel, ...head(200, 3, ['X-A', 'b\nEvil: 1']), 'abc')], 'the head of a reply is broken'],
    'a_word_that_an_edge_says': [channel => [record(channel, word.open, 'x')], 'word 10 on channel'],
    'a_fail_that_breaks_off': [channel => [record(channel, word.fail)], 'a FAIL breaks off'],
    'a_second_hello': [() => [hello({ channels: 8 })], 'a second HELLO'],
    'an_unknown_word_on_channel_0': [() => [record(0, 0x33)], 'word 33 on channel 0']
};

/* An inner weir of the test's own: `answer(link, channel)` for each request that comes. */
async function liar(answer, greeting = () => [hello({ channels: 64 })]) {
    const sockets = new Set();
    const fake = net.createServer(socket => {
        sockets.add(socket);
        const link = new Link(socket).say(...greeting());
        const say = link.say.bind(link);
        let done = 0;
        socket.on('data', () => {
            for (; done < link.records.length; done++)
                if (link.records[done].word === word.open) answer({ ...link, say, socket }, link.records[done].channel);
        });
    });
    await new Promise(resolve => fake.listen(0, '127.0.0.1', resolve));
    const stop = () => (sockets.forEach(socket => socket.destroy()), new Promise(resolve => fake.close(resolve)));
    return { address: `127.0.0.1:${fake.address().port}`, stop };
}

test('an_inner_weir_that_lies_fails_what_is_on_its_link_with_the_story', async () => {
    let lie;
    const body = JSON.stringify({ jsonrpc: '2.0', id: 1, result: { content: [{ type: 'text', text: 'true' }] } });
    const truth = channel => [record(channel, ...head(200, body.length, ['Content-Type', 'application/json']), body)];
    const fake = await liar((link, channel) => link.say(...(lie ?? truth)(channel)));
    await inHouse(edgePlan(fake.address, { a: 1 }, { workers: 1, chain: [] }), async edge => {
        for (const [name, [records, story, isBegun]] of Object.entries(lies)) {
            lie = records;
            const before = edge.logged('the link is closed').length;
            const told = await ask(edge.url('a'), 'x').catch(error => assert.match(error.message, /closed while reading body/, name));
            assert.equal(told === undefined, isBegun === 'begun', `${name}: a reply that has begun is cut, one that has not says why`);
            if (told) assert.deepEqual([told.status, reasonOf(told)], [502, 'bad_reply'], `${name}: ${told.text}`);
            await until(() => edge.logged('the link is closed').length > before, () => `the log tells of ${name}:\n${edge.stderr()}`); // prettier-ignore
            assert.match(edge.logged('the link is closed').at(-1), new RegExp(story), name);
            lie = undefined;
            assert.equal(textOf(JSON.parse((await ask(edge.url('a'), 'x')).text)), 'true', `${name}: the next is served`);
        }
    })().finally(fake.stop);
});

test('what_had_not_left_the_edge_when_its_link_broke_goes_to_another_and_what_had_does_not', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'weir-fault-'));
    const path = join(folder, 'inner'); // of a Unix socket the kernel keeps little
    const links = [];
    const fake = net.createServer(socket => links.push(new Link(socket).say(hello({ channels: 64 })))).listen(path);
    await new Promise(resolve => fake.once('listening', resolve));
    const opened = link => link?.records.filter(it => it.word === word.open) ?? [];
    const configuration = edgePlan(`unix:${path}`, { a: 1 }, { workers: 1, chain: [], upstream: { buffer_limit: '64MiB' } });
    await inHouse(configuration, async edge => {
        const first = ask(edge.url('a'), 'first', {}, 1);
        await until(() => opened(links[0]).length === 1, 'the link is up');
        links[0].socket.pause();
        const large = ask(edge.url('a'), 'large', { of: 'x'.repeat(1 << 20) }, 2);
        const through = async () => (await edge.status()).upstreams.inner.transports.tcp.mux;
        await until(async () => (await through()).opened === 2, 'some of it has left');
        const behind = ask(edge.url('a'), 'behind', {}, 3);
        await until(async () => (await through()).opened === 3, 'this one waits behind it');
        links[0].socket.destroy();
        for (const gone of [first, large]) assert.equal(reasonOf(await gone), 'server_died');
        await until(() => opened(links[1]).length === 1, 'it goes to another link');
        const answer = '{"jsonrpc":"2.0","id":3,"result":{"content":[{"type":"text","text":"true"}]}}';
        const [{ channel, body }] = opened(links[1]);
        assert.match(body.toString(), /"name":"behind"/);
        links[1].say(record(channel, ...head(200, answer.length, ['Content-Type', 'application/json']), answer));
        assert.equal(textOf(JSON.parse((await behind).text)), 'true');
        const { moved, broken, channels, queued } = await through();
        assert.deepEqual({ moved, broken, channels, queued }, { moved: 1, broken: 1, channels: 0, queued: 0 });
    })().finally(() => {
        links.forEach(({ socket }) => socket.destroy());
        fake.close();
        rmSync(folder, { recursive: true });
    });
});

test('a_reply_that_ends_before_it_is_whole_fails_alone', async () => {
    const fake = await liar((link, channel) => link.say(record(channel, word.end)));
    await inHouse(edgePlan(fake.address, { a: 1 }, { workers: 1, chain: [] }), async edge => {
        const told = await ask(edge.url('a'), 'x');
        assert.equal(reasonOf(told), 'bad_reply');
        assert.match(told.text, /is not whole/);
        assert.deepEqual(edge.logged('the link is closed'), []);
    })().finally(fake.stop);
});

test('an_inner_weir_that_heeds_no_credit_is_cut_off', async () => {
    const megabyte = 'x'.repeat(1 << 20);
    const fake = await liar((link, channel) => {
        link.say(record(channel, word.head, number(200), number(0), 0));
        for (let i = 0; i < 40; i++) link.say(record(channel, word.data, megabyte));
    });
    await inHouse(edgePlan(fake.address, { a: 1 }, { workers: 1, chain: [] }), async edge => {
        const slow = new Connection(edge.url('a')).send('POST', modernHeaders('x'), modern('x'));
        await slow.head();
        slow.pause(true);
        await edge.log('sends more than window');
    })().finally(fake.stop);
});

test('a_server_that_is_no_weir_is_told_apart_from_one_that_is', async () => {
    const listening = net.createServer(socket => socket.on('error', () => {}));
    await new Promise(resolve => listening.listen(0, '127.0.0.1', resolve));
    const address = `127.0.0.1:${listening.address().port}`;
    const configuration = edgePlan(address, { a: 1 }, { workers: 1, chain: [], upstream: { servers: [{ address, connect_timeout: '300ms' }] } });
    await inHouse(configuration, async edge => {
        const told = await ask(edge.url('a'), 'x');
        assert.equal(reasonOf(told), 'connect_failed');
        assert.match(told.text, /no HELLO came within connect_timeout/);
    })();
    listening.close();
});
