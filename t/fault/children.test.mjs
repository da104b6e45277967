// Servers over stdio that do not do as they should.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { breed, call, child, Connection, demo, gone, hold, inHouse, listen, look, nextEvent, pidOf, plan, request, rpc, session, shell, stdio, textOf, until, wait } from './lib/house.mjs'; // prettier-ignore
import { crowd } from './lib/crowd.mjs';

const hello = rpc('initialize', { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'raw', version: '1' } }, 'hello');

/* What a client gets that cannot be given a session. */
async function refusal(url) {
    const { status, text } = await request(url, 'POST', {}, hello);
    const { id, error } = JSON.parse(text);
    assert.equal(id, 'hello');
    assert.equal(error.code, -32000);
    return { status, reason: error.data.reason, message: error.message };
}

test(
    'a_child_that_exits_at_once_is_told_to_the_client_and_its_last_words_are_in_the_log',
    inHouse(plan({ a: stdio(shell('echo this is why >&2; exit 3')) }), async house => {
        const { status, reason, message } = await refusal(house.url('a'));
        assert.equal(status, 502);
        assert.match(reason, /^(connect_failed|server_died)$/); // it may have gone before it was asked anything
        assert.match(message, /exited with status 3/);
        await house.log('a/1\\[\\d+\\] stderr: this is why');
        await house.log('a/1\\[\\d+\\] exited with status 3');
    })
);

const timeOf = line => Date.parse(line.split(' ')[0]);

test(
    'a_child_that_exits_at_once_is_started_again_later_each_time',
    inHouse(plan({ a: stdio(shell('exit 3'), { chain: [{ pool: { min: 1 } }] }) }), async house => {
        await house.log('a/5\\[\\d+\\] started');
        const ends = [1, 2, 3, 4].map(n => timeOf(house.logged(`a/${n}\\[\\d+\\] exited`)[0]));
        const starts = [2, 3, 4, 5].map(n => timeOf(house.logged(`a/${n}\\[\\d+\\] started`)[0]));
        const pauses = starts.map((at, i) => at - ends[i]);
        for (const [i, least] of [100, 200, 400, 800].entries())
            assert.ok(pauses[i] >= least - 20, `pauses of ${pauses} ms, at least 100, 200, 400, 800`);
    })
);

test(
    'a_command_that_does_not_exist_is_told_to_the_client_and_in_the_log',
    inHouse(plan({ a: stdio(['/no/such/server', '--port']), b: stdio(demo, { cwd: '/no/such/folder' }), c: stdio(demo) }), async house => {
        for (const [name, why] of [
            ['a', /cannot run \/no\/such\/server: No such file or directory/],
            ['b', /cannot go to its cwd \/no\/such\/folder: No such file or directory/]
        ]) {
            const { status, reason, message } = await refusal(house.url(name));
            assert.equal(status, 502);
            assert.equal(reason, 'connect_failed');
            assert.match(message, why);
            await house.log(why.source);
        }
        await session(house.url('c'));
    })
);

test(
    'a_child_that_does_not_answer_within_start_timeout_is_ended',
    inHouse(plan({ a: stdio(child('mute'), { start_timeout: '200ms' }) }), async house => {
        const { status, reason, message } = await refusal(house.url('a'));
        assert.equal(status, 502);
        assert.equal(reason, 'server_died');
        assert.match(message, /did not answer within start_timeout \(200 ms\)/);
        await until(() => house.servers().length === 0, 'it is gone');
    })
);

test(
    'a_session_that_is_idle_ends_with_its_child_and_one_that_is_listened_to_is_not_idle',
    inHouse(plan({ a: stdio(child(), { sessions: { idle_timeout: '400ms' } }) }), async house => {
        const listenAtOnce = async () => {
            const one = await session(house.url('a'));
            return { one, stream: await listen(one) };
        };
        const { one, stream } = await until(() => listenAtOnce().catch(() => null), 'it is listened to before it is idle');
        await until(() => house.servers().length === 1, 'only its child is there');
        const idle = await session(house.url('a'));
        await until(() => house.logged('a session was idle for idle_timeout \\(400 ms\\) and has ended').length > 0, 'the idle one ends');
        await until(() => house.servers().length === 1, 'its child is gone');
        assert.equal((await idle.post(rpc('ping', undefined, 1))).status, 404);
        assert.ok(await pidOf(one));
        stream.close();
    })
);

test(
    'an_answer_beyond_max_message_fails_its_call_and_no_other',
    inHouse(plan({ a: stdio(child(), { max_message: '64KiB' }), d: stdio(demo, { max_message: '64KiB' }) }), async house => {
        const one = await session(house.url('a'));
        const held = await hold(one, 'other');
        for (const bytes of [65536, 1_000_000]) {
            const { status, text } = await one.post(rpc('tools/call', { name: 'reply', arguments: { bytes } }, `big ${bytes}`));
            const { id, error } = JSON.parse(text);
            assert.equal(id, `big ${bytes}`);
            assert.equal(error.data.reason, 'bad_reply');
            assert.match(error.message, /max_message \(65536 bytes\)/);
            assert.equal(status, 502);
        }
        assert.equal(textOf(await call(one, 'reply', { bytes: 60000 })).length, 60000);
        assert.equal(textOf(await call(one, 'release')), 'done');
        assert.equal(JSON.parse((await nextEvent(held.stream)).data).params.progress, 2);
        assert.equal(textOf(JSON.parse((await nextEvent(held.stream)).data)), 'released');
        held.stream.close();
        await house.log('a: .*skipped a message longer than max_message');
        const other = await session(house.url('d'));
        assert.equal((await call(other, 'big', { bytes: 100000 })).error.data.reason, 'bad_reply');
        assert.equal(textOf(await call(other, 'echo', { message: 'on' })), 'on');
    })
);

test(
    'a_message_beyond_max_message_that_answers_nothing_is_skipped',
    inHouse(plan({ a: stdio(child(), { max_message: '64KiB' }) }), async house => {
        const one = await session(house.url('a'));
        const long = 'x'.repeat(100000);
        const texts = [
            { jsonrpc: '2.0', method: 'notifications/message', params: { level: 'info', data: long, id: 3 } },
            { jsonrpc: '2.0', id: 3, method: 'ping', params: { long } },
            { jsonrpc: '2.0', id: 999, result: { long } },
            { jsonrpc: '2.0', id: '3', result: { long, id: 3 } }
        ];
        for (const text of texts) assert.equal(textOf(await call(one, 'say', { text: `${JSON.stringify(text)}\n` })), 'said');
        await until(() => house.logged('skipped a message longer than max_message').length >= texts.length, 'each is in the log');
        assert.equal(house.logged('skipped a message longer than max_message').length, texts.length);
    })
);

test(
    'garbage_on_stdout_is_skipped_and_logged',
    inHouse(plan({ a: stdio(child()) }), async house => {
        const one = await session(house.url('a'));
        const garbage = ['Server listening!\n', '\n\n\n', '\r\n', '{"jsonrpc":"2.0","id":\n', '[]\n', '42\n', '{"hello":"world"}\n', '\u0000\u0001\u001b[31m\n', '{"jsonrpc":"2.0","id":7777,"result":{}}\n'];
        for (const text of garbage) assert.equal(textOf(await call(one, 'say', { text })), 'said', JSON.stringify(text));
        await house.log('skipped what is no JSON-RPC message: Server listening!');
        await house.log('skipped what is no JSON-RPC message: \\{"hello":"world"\\}');
        await house.log('skipped an answer to a request that nobody waits for \\(id 7777\\)');
        assert.doesNotMatch(house.stderr(), /\u001b/, 'no control character reaches the log');
        assert.ok(await pidOf(one));
    })
);

test(
    'a_child_that_heeds_neither_the_end_of_its_stdin_nor_TERM_is_killed',
    inHouse(plan({ a: stdio(child('stubborn'), { stop_timeout: '100ms' }) }), async house => {
        const one = await session(house.url('a'));
        const brood = await breed(one);
        assert.equal((await one.end()).status, 200);
        await until(() => brood.every(gone), 'it is gone with all it started');
        await house.log('a/1\\[\\d+\\] killed');
        const lines = house.logged('a/1\\[\\d+\\] (goes on|killed)');
        assert.equal(lines.length, 3, lines.join('\n'));
        assert.match(lines[0], /goes on after its stdin was closed; it gets SIGTERM \(stop_timeout: 100 ms\)/);
        assert.match(lines[1], /goes on after SIGTERM; it gets SIGKILL/);
        assert.match(lines[2], /killed by signal 9 \(SIGKILL\)/);
    })
);

test(
    'a_child_has_the_environment_the_folder_and_the_limits_it_is_given',
    inHouse(
        plan({
            a: stdio(child(), { env: { WEIR_WORD: 'a "word"' }, cwd: '/usr', limit_files: 77, limit_cpu: '1234s', limit_memory: '64GiB' }),
            b: stdio(child())
        }),
        async house => {
            const about = async name => JSON.parse(textOf(await call(await session(house.url(name)), 'about', { name: 'WEIR_WORD' })));
            const [a, b] = [await about('a'), await about('b')];
            assert.equal(a.env, 'a "word"');
            assert.equal(a.cwd, '/usr');
            assert.match(a.limits, /^Max open files +77 +77 /m);
            assert.match(a.limits, /^Max cpu time +1234 +1234 /m);
            assert.match(a.limits, /^Max address space +68719476736 +68719476736 /m);
            assert.equal(b.env, undefined);
            const limit = what => new RegExp(`^${what} .*`, 'm').exec(b.limits)[0];
            const own = start => start('sh', ['-c', 'cat /proc/self/limits']);
            assert.ok(own && limit('Max cpu time').includes('unlimited'));
        }
    )
);

test(
    'a_child_that_floods_its_stderr_holds_nobody_up_and_does_not_fill_the_log',
    inHouse(plan({ a: stdio(child()), b: stdio(demo) }), async house => {
        const [one, other] = [await session(house.url('a')), await session(house.url('b'))];
        const flood = call(one, 'complain', { count: 100_000 });
        for (let i = 0; i < 20; i++) assert.equal(textOf(await call(other, 'echo', { message: `${i}` })), `${i}`);
        assert.equal(textOf(await flood), 'complained');
        const isCounted = async () => (await call(one, 'complain', { count: 1 })) && house.logged('a/1\\[\\d+\\] stderr: \\d+ lines were left out, more than 200 a second').length > 0;
        await until(isCounted, 'what was left out is counted');
        assert.ok(house.logged('stderr: complaint').length < 50_000);
    })
);

test(
    'a_child_that_dies_in_a_call_fails_it_and_its_session_and_no_other',
    inHouse(plan({ a: stdio(child()) }), async house => {
        const [one, other] = [await session(house.url('a')), await session(house.url('a'))];
        const { reply } = await wait(house, one);
        const held = await hold(other);
        process.kill(await pidOf(one), 'SIGSEGV');
        const { status, text } = await reply;
        assert.equal(status, 502);
        assert.equal(JSON.parse(text).error.data.reason, 'server_died');
        assert.match(JSON.parse(text).error.message, /killed by signal 11 \(SIGSEGV\)/);
        assert.equal((await one.post(rpc('ping', undefined, 1))).status, 404);
        await house.log('a/1\\[\\d+\\] killed by signal 11 \\(SIGSEGV\\)');
        held.stream.close();
        assert.ok(await pidOf(other));
    })
);

test(
    'a_child_that_reads_nothing_fails_what_it_was_asked_and_nobody_else',
    inHouse(plan({ a: stdio(child('deaf'), { reply_timeout: '400ms' }), b: stdio(child()) }), async house => {
        const one = await until(() => session(house.url('a')).catch(() => null), 'it starts in time');
        const other = await session(house.url('b'));
        const large = call(one, 'echo', { message: 'x'.repeat(3 << 20) }, 'large');
        const small = call(one, 'pid', {}, 'small');
        assert.ok(await pidOf(other));
        for (const reply of [await large, await small]) assert.match(reply.error.data.reason, /^(timeout|server_died)$/);
        assert.ok(await pidOf(other));
    })
);

test(
    'sessions_beyond_max_are_refused_until_one_has_ended',
    inHouse(plan({ a: stdio(child(), { chain: [{ pool: { max: 2, acquire_timeout: '500ms' } }] }) }), async house => {
        const [one] = [await session(house.url('a')), await session(house.url('a'))];
        const { status, reason, message } = await refusal(house.url('a'));
        assert.equal(status, 503);
        assert.equal(reason, 'pool_full');
        assert.match(message, /2 of 2 in use/);
        await one.end();
        await until(() => session(house.url('a')).catch(() => null), 'there is room for one more');
    })
);

/* Resident memory of processes, in MiB. */
const residentOf = processes => processes.reduce((sum, { pid }) => sum + look(pid)?.resident ?? 0, 0);

test(
    'a_slow_client_on_a_stream_stops_only_itself',
    inHouse(
        plan({ a: stdio(child()) }),
        async house => {
            const [slow, quick] = [await session(house.url('a')), await session(house.url('a'))];
            const [count, bytes] = [200, 65536];
            const body = rpc('tools/call', { name: 'flood', arguments: { count, bytes }, _meta: { progressToken: 1 } }, 'flood');
            const stream = new Connection(slow.url).send('POST', slow.headers, body);
            await stream.head();
            stream.pause(true);
            const memory = () => residentOf([house.keeper(), ...house.workers()]);
            const before = memory();
            let most = 0;
            for (let i = 0; i < 40; i++) {
                assert.ok(await pidOf(quick));
                most = Math.max(most, memory());
            }
            assert.ok(most - before < 8, `${most} MiB in use, ${before} before: less than the ${(count * bytes) >> 20} that wait`);
            stream.pause(false);
            for (let i = 1; i <= count; i++) {
                const { params } = JSON.parse((await nextEvent(stream)).data);
                assert.equal(params.progress, i);
                assert.equal(params.message.length, bytes);
            }
            assert.equal(textOf(JSON.parse((await nextEvent(stream)).data)), 'flooded');
            stream.close();
        },
        { env: { ASAN_OPTIONS: [process.env.ASAN_OPTIONS, 'quarantine_size_mb=1'].filter(Boolean).join(':') } }
    )
);

const modernMeta = {
    'io.modelcontextprotocol/protocolVersion': '2026-07-28',
    'io.modelcontextprotocol/clientInfo': { name: 'raw', version: '1' },
    'io.modelcontextprotocol/clientCapabilities': {}
};
const modernCall = (url, id, name, args = {}) => {
    const headers = { 'mcp-protocol-version': '2026-07-28', 'mcp-method': 'tools/call', 'mcp-name': name };
    return new Connection(url).send('POST', headers, rpc('tools/call', { name, arguments: args, _meta: { ...modernMeta, progressToken: id } }, id));
};

test(
    'a_slow_client_of_a_child_that_others_share_is_let_go_and_the_others_are_served',
    inHouse(plan({ a: stdio(child(), { chain: [{ pool: { min: 1, max: 1 } }], buffer_limit: '256KiB' }) }), async house => {
        const slow = modernCall(house.url('a'), 'slow', 'flood', { count: 300, bytes: 65536 });
        assert.equal((await slow.head()).status, 200);
        slow.pause(true);
        const ask = async i => {
            const quick = modernCall(house.url('a'), `quick ${i}`, 'pid');
            const reply = JSON.parse(await quick.reply(await quick.head()));
            quick.close();
            assert.equal(reply.id, `quick ${i}`);
            return textOf(reply);
        };
        const [pid] = house.servers().map(one => String(one.pid));
        let n = 0;
        const isLetGo = async () => (assert.equal(await ask((n += 1)), pid), house.logged('the client reads too slowly for a shared link').length > 0);
        await until(isLetGo, 'the slow one is let go');
        slow.pause(false);
        await assert.rejects(async () => {
            while ((await nextEvent(slow)) !== null);
        }, /connection closed/);
        assert.equal(await ask('last'), pid);
    })
);
