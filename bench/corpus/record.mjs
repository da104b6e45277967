// record.mjs: makes the corpus beside it: what published MCP servers and a client say to each other, one message a line.
//
//   npm i --prefix DIR --ignore-scripts <the packages below> && node record.mjs DIR
//
// Nothing leaves the machine: the servers list what they have, and only tools that work on local files and memory are called.
import { spawn } from 'node:child_process';
import { createWriteStream, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { tmpdir } from 'node:os';

const packages = process.argv[2] ?? '.';
const here = import.meta.dirname;
const play = join(tmpdir(), 'weir-corpus');
mkdirSync(join(play, 'src'), { recursive: true });
for (const name of ['loop', 'parser', 'table', 'timer'])
    writeFileSync(join(play, 'src', `${name}.c`), readFileSync(join(here, '..', 'load.c'), 'utf8').slice(name.length * 900, name.length * 900 + 3500));

const call = (name, args = {}) => ['tools/call', { name, arguments: args }];
const file = (name) => join(play, 'src', name);
const entity = (i) => ({ name: `service-${i}`, entityType: 'service', observations: [`listens on port ${3000 + i}`, `owned by team ${i % 7}`, 'restarted after the last deployment'] });

const servers = {
    everything: {
        package: '@modelcontextprotocol/server-everything', bin: 'mcp-server-everything', args: ['stdio'],
        calls: [...Array(12).keys()].flatMap((i) => [call('echo', { message: `ping number ${i}` }), call('get-sum', { a: i, b: 2 * i }),
            call('get-annotated-message', { messageType: ['error', 'success', 'debug'][i % 3] }), call('get-structured-content', { location: ['New York', 'Chicago', 'Los Angeles'][i % 3] })]),
    },
    filesystem: {
        package: '@modelcontextprotocol/server-filesystem', bin: 'mcp-server-filesystem', args: [play],
        calls: [call('list_directory', { path: join(play, 'src') }), call('directory_tree', { path: play }), call('list_allowed_directories'),
            ...['loop.c', 'parser.c', 'table.c', 'timer.c'].flatMap((name) => [call('read_text_file', { path: file(name) }), call('get_file_info', { path: file(name) }),
                call('read_text_file', { path: file(name), head: 20 })]),
            call('search_files', { path: play, pattern: '**/*.c' }), call('read_text_file', { path: join(play, 'nothing.c') })],
    },
    memory: {
        package: '@modelcontextprotocol/server-memory', bin: 'mcp-server-memory', args: [], env: { MEMORY_FILE_PATH: join(play, `memory-${process.pid}.jsonl`) },
        calls: [...[...Array(8).keys()].map((i) => call('create_entities', { entities: [entity(2 * i), entity(2 * i + 1)] })),
            call('create_relations', { relations: [...Array(10).keys()].map((i) => ({ from: `service-${i}`, to: `service-${i + 1}`, relationType: 'calls' })) }),
            call('read_graph'), ...[...Array(8).keys()].map((i) => call('search_nodes', { query: `service-${i}` })), call('open_nodes', { names: ['service-3', 'service-5'] })],
    },
    'sequential-thinking': {
        package: '@modelcontextprotocol/server-sequential-thinking', bin: 'mcp-server-sequential-thinking', args: [],
        calls: [...Array(10).keys()].map((i) => call('sequentialthinking', { thought: `Step ${i + 1}: narrow down which of the remaining causes explains what was seen.`, nextThoughtNeeded: i < 9, thoughtNumber: i + 1, totalThoughts: 10 })),
    },
    playwright: { package: '@playwright/mcp', bin: 'playwright-mcp', args: [], calls: [] },
    'chrome-devtools': { package: 'chrome-devtools-mcp', bin: 'chrome-devtools-mcp', args: ['--no-usage-statistics'], calls: [] },
    notion: { package: '@notionhq/notion-mcp-server', bin: 'notion-mcp-server', args: [], env: { NOTION_TOKEN: 'ntn_none' }, calls: [] },
    firecrawl: { package: 'firecrawl-mcp', bin: 'firecrawl-mcp', args: [], env: { FIRECRAWL_API_KEY: 'fc-none' }, calls: [] },
    context7: { package: '@upstash/context7-mcp', bin: 'context7-mcp', args: [], calls: [] },
    exa: { package: 'exa-mcp-server', bin: 'exa-mcp-server', args: [], env: { EXA_API_KEY: 'none' }, calls: [] },
};

const lists = [['tools/list', {}], ['prompts/list', {}], ['resources/list', {}], ['resources/templates/list', {}]];

async function record(name, server) {
    const out = createWriteStream(join(here, `${name}.jsonl`));
    const child = spawn(join(packages, 'node_modules', '.bin', server.bin), server.args, { stdio: ['pipe', 'pipe', 'ignore'], env: { ...process.env, ...server.env } });
    const waiting = new Map();
    const send = (message) => {
        const line = JSON.stringify({ jsonrpc: '2.0', ...message });
        out.write(line + '\n');
        child.stdin.write(line + '\n');
    };
    createInterface({ input: child.stdout }).on('line', (line) => {
        let message;
        try { message = JSON.parse(line); } catch { return; }
        out.write(line + '\n');
        if (message.method !== undefined && message.id !== undefined)
            send({ id: message.id, result: message.method === 'roots/list' ? { roots: [] } : {} });
        else
            waiting.get(message.id)?.(message);
    });
    let id = 0;
    const ask = (method, params) => new Promise((resolve, reject) => {
        const timer = setTimeout(() => reject(new Error(`${name}: no answer to ${method}`)), 20000);
        waiting.set(++id, (message) => { clearTimeout(timer); resolve(message); });
        send({ id, method, params });
    });
    await ask('initialize', { protocolVersion: '2025-06-18', capabilities: { roots: {}, sampling: {} }, clientInfo: { name: 'recorder', version: '1.0.0' } });
    send({ method: 'notifications/initialized' });
    for (const [method, params] of [...lists, ...server.calls])
        await ask(method, params);
    child.stdin.end();
    child.kill();
    await new Promise((resolve) => out.end(resolve));
    const version = JSON.parse(readFileSync(join(packages, 'node_modules', server.package, 'package.json'), 'utf8')).version;
    console.log(`${name}.jsonl: ${server.package}@${version}`);
}

for (const [name, server] of Object.entries(servers)) {
    try { await record(name, server); } catch (error) { console.log(`${name}: ${error.message}`); }
}
process.exit(0);
