// Every transport that clients may arrive by, with every transport that servers may be reached by: the same scenes over each pair.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { SSEClientTransport } from '@modelcontextprotocol/sdk/client/sse.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { ElicitRequestSchema } from '@modelcontextprotocol/sdk/types.js';
import { until } from './lib/process.mjs';
import { binary, here, repo, startWeir } from './lib/weir.mjs';
import { stdio, tcp, WireTransport, ws } from './lib/wires.mjs';
import { node, startServer } from './lib/world.mjs';

const server = transport => [node, join(here, 'servers/matrix.mjs'), transport];
const portOf = url => Number(new URL(url).port);

/* How a server is reached: the upstream of one that listens at `url`, or is started by weir. */
const upstreams = {
    http: url => ({ transport: 'http', servers: [{ url }] }),
    sse: url => ({ transport: 'sse', servers: [{ url: url.replace('/mcp', '/sse') }] }),
    stdio: () => ({ transport: 'stdio', command: server('stdio') }),
    tcp: url => ({ transport: 'tcp', servers: [{ address: `127.0.0.1:${portOf(url)}` }] }),
    ws: url => ({ transport: 'ws', permessage_deflate: true, servers: [{ url: url.replace('http', 'ws') }] })
};

/* How a client arrives: the SDK's transport to a weir of that configuration, which the stdio client starts itself. */
const arriveAt = toPort => async configuration => {
    const weir = await startWeir(configuration);
    return { transport: toPort(weir.port('edge')), stop: weir.stop };
};
const start = async configuration => {
    const folder = mkdtempSync(join(tmpdir(), 'weir-matrix-'));
    const file = join(folder, 'weir.yaml');
    writeFileSync(file, configuration);
    const wire = stdio.start(binary, ['-c', file], { cwd: repo });
    const stop = async () => {
        assert.deepEqual(await wire.ended, { code: 0, signal: null }, 'weir ends well when its client has closed stdin');
        rmSync(folder, { recursive: true });
    };
    return { transport: new WireTransport(wire), stop };
};
/* As WireTransport: each message gets a turn of its own. */
class EventTransport extends SSEClientTransport {
    async start() {
        await super.start();
        this._eventSource.onmessage = ({ data }) => setImmediate(() => this.onmessage?.(JSON.parse(data)));
    }
}
const ports = {
    http: port => new StreamableHTTPClientTransport(new URL(`http://127.0.0.1:${port}/mcp`)),
    sse: port => new EventTransport(new URL(`http://127.0.0.1:${port}/sse`)),
    tcp: port => new WireTransport(tcp.connect(port)),
    ws: port => new WireTransport(ws.connect(port))
};

const arrivals = { ...Object.fromEntries(Object.entries(ports).map(([name, toPort]) => [name, arriveAt(toPort)])), stdio: start };

const pathOf = { tcp: '/', stdio: '/', sse: '/sse' };
const listenOf = { stdio: 'stdio:' };
const moreOf = { ws: 'permessage_deflate: true, ' };

/* Two weirs with a link between them: messages gathered and packed, in frames. */
const gathered = codec => [{ batch: { max_delay: 0 } }, { compress: { codec, min_size: 256 } }];
const outer = (port, from) => configuration({ transport: 'tcp', framing: 'length', servers: [{ address: `127.0.0.1:${port}` }], chain: gathered('zstd') }, from);

const configuration = ({ chain = [], ...upstream }, from, more = '', path = pathOf[from] ?? '/mcp') => `workers: 2
log: { level: info, file: stderr }
modules: [http, sse, stdio, tcp, ws, pool, batch, compress, codec_lz4, codec_zstd]
listeners:
  edge: { transport: ${from}, ${moreOf[from] ?? ''}${more}listen: "${listenOf[from] ?? '127.0.0.1:0'}", routes: [ { path: ${path}, upstream: up } ] }
upstreams:
  up: ${JSON.stringify({ ...upstream, chain: [{ pool: { max: 32 } }, ...chain] })}
`;

async function connect(transport) {
    const client = new Client({ name: 'matrix', version: '1.0.0' }, { capabilities: { elicitation: {} } });
    client.setRequestHandler(ElicitRequestSchema, ({ params }) => ({ action: 'accept', content: { answer: `to <${params.message}>` } }));
    await client.connect(transport);
    const call = async (name, args, options) => (await client.callTool({ name, arguments: args }, undefined, options)).content[0].text;
    const close = async () => {
        await transport.terminateSession?.();
        await client.close();
    };
    return { client, transport, call, close };
}

const MIB = 1 << 20;
const words = 'Grüße, 世界, 👋🏽, \u2028, \\ " \u0000';

/* A request with an id of the test's own, past the SDK's counter, and the id of its answer. */
async function answerTo(transport, id) {
    const { onmessage } = transport;
    try {
        const answered = new Promise(resolve => {
            transport.onmessage = message => (message.method ? onmessage(message) : resolve(message));
        });
        await transport.send({ jsonrpc: '2.0', id, method: 'ping' });
        return (await answered).id;
    } finally {
        transport.onmessage = onmessage;
    }
}

const scenes = {
    tools_are_listed: async ({ client }) => {
        const { tools } = await client.listTools();
        assert.equal(tools.length, 7);
        assert.equal(client.getServerVersion().name, 'matrix');
    },
    a_tool_is_called: async ({ call }) => assert.equal(await call('echo', { message: 'hello' }), 'hello'),
    text_of_every_script_comes_back: async ({ call }) => assert.equal(await call('echo', { message: words }), words),
    progress_arrives_in_order_with_its_call: async ({ call }) => {
        const steps = [];
        const onprogress = ({ progress }) => steps.push(progress);
        assert.equal(await call('count', { to: 20 }, { onprogress }), '20');
        assert.deepEqual(steps, Array.from({ length: 20 }, (_, i) => i + 1));
    },
    what_the_server_asks_is_answered: async ({ call }) =>
        assert.equal(await call('ask', { question: 'who?' }), 'to <who?>'),
    a_call_that_is_cancelled_ends_at_the_server: async ({ call }) => {
        const stop = new AbortController();
        const waits = call('wait', {}, { signal: stop.signal });
        await until(async () => (await call('awaited')) === '1', 'the call waits at the server');
        stop.abort();
        await assert.rejects(waits);
        await until(async () => (await call('awaited')) === '0', 'the call was cancelled at the server');
    },
    a_mebibyte_goes_and_comes: async ({ call }) => {
        const message = 'x'.repeat(MIB);
        assert.equal(await call('echo', { message }), message);
        assert.equal((await call('repeat', { text: 'é', times: MIB })).length, MIB);
    },
    calls_in_flight_together_get_their_own_answers: async ({ call }) => {
        const messages = Array.from({ length: 50 }, (_, i) => `message ${i}`);
        assert.deepEqual(await Promise.all(messages.map(message => call('echo', { message }))), messages);
    },
    ids_of_every_kind_come_back: async ({ transport }) => {
        for (const id of ['', 'text', '"quoted" \\ ü 👋', '17', 0, -1, 2 ** 31, Number.MAX_SAFE_INTEGER])
            assert.deepEqual(await answerTo(transport, id), id);
    },
    a_server_that_dies_fails_the_call_it_was_at: async ({ call }) => {
        // Over HTTP the SDK tells the body of the reply in its message, elsewhere it has read the error.
        await assert.rejects(call('exit'), error => /server_died/.test(error.data?.reason ?? error.message));
    }
};

for (const [to, upstreamOf] of Object.entries(upstreams))
    for (const [from, arrive] of Object.entries(arrivals))
        describe(`${from} → ${to}`, () => {
            let listening, arrived, me;
            before(async () => {
                if (to !== 'stdio') listening = await startServer(server(to));
                arrived = await arrive(configuration(upstreamOf(listening?.url), from));
                me = await connect(arrived.transport);
            });
            after(async () => {
                await me?.close().catch(() => {}); // its server is dead
                await listening?.stop();
                await arrived?.stop();
            });
            for (const [name, play] of Object.entries(scenes)) test(`${from} → ${to}: ${name}`, () => play(me));
        });

for (const from of ['http', 'tcp'])
    describe(`${from} → weir → length, batch, compress → weir → stdio`, () => {
        let inner, arrived, me;
        before(async () => {
            inner = await startWeir(configuration(upstreams.stdio(), 'tcp', `framing: length, chain: ${JSON.stringify(gathered('lz4'))}, `));
            arrived = await arrivals[from](outer(inner.port('edge'), from));
            me = await connect(arrived.transport);
        });
        after(async () => {
            await me?.close().catch(() => {}); // its server is dead
            await arrived?.stop();
            await inner?.stop();
        });
        for (const [name, play] of Object.entries(scenes)) test(`${from} → weir → weir → stdio: ${name}`, () => play(me));
    });

/* An edge and an inner weir: the exchanges of many clients on one link, each on a channel of its own. */
const muxed = codec => [{ batch: { max_delay: 0 } }, ...(codec ? [{ compress: { codec, min_size: 256 } }] : [])];
const edgeTo = (port, from, codec) => configuration({ transport: 'tcp', framing: 'mux', servers: [{ address: `127.0.0.1:${port}` }], chain: muxed(codec) }, from);
const inside = (upstream, codec, from) =>
    configuration(upstream, 'tcp', `framing: mux, chain: ${JSON.stringify(muxed(codec))}, `, pathOf[from] ?? '/mcp');

for (const [from, arrive] of Object.entries(arrivals))
    for (const [to, codec] of [['stdio', 'lz4'], ['http', 'zstd'], ['http', undefined], ['tcp', 'lz4']])
        describe(`${from} → edge → mux, ${codec ?? 'plain'} → inner → ${to}`, () => {
            let listening, inner, arrived, me;
            before(async () => {
                if (to !== 'stdio') listening = await startServer(server(to));
                inner = await startWeir(inside(upstreams[to](listening?.url), codec, from));
                arrived = await arrive(edgeTo(inner.port('edge'), from, codec));
                me = await connect(arrived.transport);
            });
            after(async () => {
                await me?.close().catch(() => {}); // its server is dead
                await listening?.stop();
                await arrived?.stop();
                await inner?.stop();
            });
            for (const [name, play] of Object.entries(scenes)) test(`${from} → edge → mux, ${codec ?? 'plain'} → inner → ${to}: ${name}`, () => play(me));
        });
