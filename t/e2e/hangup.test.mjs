// A client that goes away, or says so, ends what it asked for at the server too.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { isAlive, look, until } from './lib/process.mjs';
import { Connection, openSession, rpc } from './lib/raw.mjs';
import { setUpRecorder } from './lib/recorder.mjs';
import { startWeir } from './lib/weir.mjs';
import { tcp } from './lib/wires.mjs';
import { demo, ways } from './lib/world.mjs';

const world = setUpRecorder();

const isCall = token => ({ message }) => message?.method === 'tools/call' && message.params._meta?.token === token;
const isCancelOf = call => ({ pid, message }) =>
    pid === call.pid && message?.method === 'notifications/cancelled' && message.params.requestId === call.message.id;

let count = 0;
const waitCall = (name, more = {}) => {
    const token = `call-${(count += 1)}`;
    return { token, params: { name, _meta: { token, progressToken: token, ...more } } };
};

/* What the server is to hear of a client that left: a cancellation on pipes, the end of the connection on HTTP. */
const hearsOfIt = (way, call) =>
    way === 'stdio' ? world.hears(way, isCancelOf(call)) : world.hears(way, ({ hangup }) => hangup === call.message.params._meta.token);

const modernMeta = {
    'io.modelcontextprotocol/protocolVersion': '2026-07-28',
    'io.modelcontextprotocol/clientInfo': { name: 'raw', version: '1' },
    'io.modelcontextprotocol/clientCapabilities': {}
};
const modernHeaders = name => ({ 'mcp-protocol-version': '2026-07-28', 'mcp-method': 'tools/call', 'mcp-name': name });

for (const way of ways)
    describe(way, () => {
        for (const leave of ['cut', 'close']) {
            test(`${way}: a_client_that_hangs_up_(${leave})_cancels_its_call`, async () => {
                const session = await openSession(world.url(way));
                const { token, params } = waitCall('wait');
                const connection = new Connection(world.url(way)).send('POST', session.headers, rpc('tools/call', params, 'gone'));
                const call = await world.hears(way, isCall(token));
                connection[leave]();
                await hearsOfIt(way, call);
                assert.equal((await session.call('tools/call', { name: 'echo', arguments: { message: 'here' } })).id, 1);
                await session.end();
            });

            test(`${way}: a_modern_client_that_hangs_up_(${leave})_cancels_its_call`, async () => {
                const { token, params } = waitCall('wait', modernMeta);
                const body = rpc('tools/call', params, 'gone');
                const connection = new Connection(world.url(way)).send('POST', modernHeaders('wait'), body);
                const call = await world.hears(way, isCall(token));
                connection[leave]();
                await hearsOfIt(way, call);
            });
        }

        test(`${way}: a_cancellation_names_the_call_by_the_id_its_server_knows`, async () => {
            const session = await openSession(world.url(way));
            const { token, params } = waitCall('wait');
            const connection = new Connection(world.url(way)).send('POST', session.headers, rpc('tools/call', params, 'mine'));
            const call = await world.hears(way, isCall(token));
            const told = await session.post(rpc('notifications/cancelled', { requestId: 'mine', reason: 'enough' }));
            assert.equal(told.status, 202);
            const { message } = await world.hears(way, isCancelOf(call));
            assert.equal(message.params.reason, 'enough');
            connection.close();
            await session.end();
        });
    });

if (ways.includes('stdio'))
    test('stdio: a_modern_client_that_leaves_its_stream_cancels_its_call', async () => {
        const { token, params } = waitCall('held', modernMeta);
        const connection = new Connection(world.url('stdio')).send('POST', modernHeaders('held'), rpc('tools/call', params, 5));
        assert.equal((await connection.head()).status, 200);
        assert.equal(JSON.parse((await connection.event()).data).params.progress, 1);
        const call = await world.hears('stdio', isCall(token));
        connection.cut();
        await world.hears('stdio', isCancelOf(call));
    });

test('tcp: weir_stops_while_the_session_of_a_client_that_left_is_being_ended', async () => {
    const weir = await startWeir(`workers: 1
log: { level: info, file: stderr }
admin: { listen: "127.0.0.1:0" }
modules: [tcp, stdio, pool]
listeners: { edge: { transport: tcp, listen: "127.0.0.1:0", routes: [ { path: /, upstream: a } ] } }
upstreams: { a: { transport: stdio, command: ${JSON.stringify(demo.stdio)}, chain: [pool] } }
`);
    const pidOf = name => Number(weir.stderr().match(new RegExp(`${name}/0 started \\(pid (\\d+)`))[1]);
    const client = tcp.connect(weir.port('edge'));
    await client.opened;
    const answered = new Promise(resolve => (client.onText = resolve));
    client.send(rpc('initialize', { protocolVersion: '2025-06-18', capabilities: {}, clientInfo: { name: 'raw', version: '1' } }, 1));
    await answered;
    process.kill(pidOf('keeper'), 'SIGSTOP');
    client.close();
    await until(async () => (await weir.status()).clients === 0, 'the client has gone');
    const worker = look(pidOf('worker'));
    const stopped = weir.stop();
    await until(() => !isAlive(worker), 'the worker has left');
    process.kill(pidOf('keeper'), 'SIGCONT');
    await stopped;
});
