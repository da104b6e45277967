// A stdio server of both eras whose tools ask for Mcp-Param-* fields: `params.mjs HOW`, where HOW says what becomes of tools/list:
//
//   lists     answered, in two pages
//   silent    never answered
//   fails     answered with an error
//   dies      the end of this process
//   none      there is no such method
//   endless   every page names another one
//   changes   as `lists`, but the first time query's field becomes Mcp-Param-Area between question and answer
//
// Tools:
//
//   query     wants `region` in Mcp-Param-Region, and `n` in Mcp-Param-N
//   move      (second page) wants `target.zone` in Mcp-Param-Zone
//   plain     wants nothing
//   told      answers how often tools/list was asked and which tools were called
//   retag     from now on query wants `region` in Mcp-Param-<to>; says so when `aloud`
import { createInterface } from 'node:readline';

const how = process.argv[2];
const told = { lists: 0, calls: [] };
let field = 'Region';
let subscription;

const schema = (properties = {}) => ({ type: 'object', properties });
const pages = {
    undefined: () => ({
        tools: [
            { name: 'query', inputSchema: schema({ region: { type: 'string', 'x-mcp-header': field }, n: { type: 'integer', 'x-mcp-header': 'N' } }) },
            { name: 'plain', inputSchema: schema() }
        ],
        nextCursor: 'page "2"'
    }),
    'page "2"': () => ({
        tools: [{ name: 'move', inputSchema: schema({ target: schema({ zone: { type: 'string', 'x-mcp-header': 'Zone' } }) }) }]
    })
};

const write = message => process.stdout.write(`${JSON.stringify({ jsonrpc: '2.0', ...message })}\n`);
const about = { capabilities: { tools: { listChanged: true } }, serverInfo: { name: 'params', version: '1' } };

function list(id, { cursor } = {}) {
    told.lists += 1;
    if (how === 'dies') process.exit(0);
    if (how === 'fails') write({ id, error: { code: -32603, message: 'no list today' } });
    if (how === 'none') unknown(id, 'tools/list');
    if (how === 'endless') cursor = 'page "2"';
    const result = { resultType: 'complete', ttlMs: 0, cacheScope: 'private', ...pages[cursor]() };
    if (how === 'endless') result.nextCursor = 'more';
    if (how === 'changes' && told.lists === 1) {
        field = 'Area';
        write({ method: 'notifications/tools/list_changed' });
    }
    if (['lists', 'changes', 'endless'].includes(how)) write({ id, result });
}

const unknown = (id, method) => write({ id, error: { code: -32601, message: `no method ${method}` } });

function call(id, { name, arguments: args = {} }) {
    told.calls.push(name);
    if (name === 'retag') field = args.to;
    if (args.aloud) {
        const _meta = { 'io.modelcontextprotocol/subscriptionId': subscription };
        write({ method: 'notifications/tools/list_changed', params: { _meta } });
    }
    const text = name === 'told' ? JSON.stringify(told) : `ran ${name}`;
    write({ id, result: { resultType: 'complete', content: [{ type: 'text', text }] } });
}

const methods = {
    initialize: (id, { protocolVersion }) => write({ id, result: { ...about, protocolVersion } }),
    'server/discover': id => write({ id, result: { ...about, supportedVersions: ['2026-07-28'], ttlMs: 0, cacheScope: 'private' } }),
    'subscriptions/listen': id => {
        subscription = id;
        const _meta = { 'io.modelcontextprotocol/subscriptionId': id };
        write({ method: 'notifications/subscriptions/acknowledged', params: { notifications: { toolsListChanged: true }, _meta } });
    },
    'tools/list': list,
    'tools/call': call
};

createInterface({ input: process.stdin }).on('line', line => {
    const { id, method, params } = JSON.parse(line);
    if (id !== undefined) (methods[method] ?? (() => unknown(id, method)))(id, params);
});
