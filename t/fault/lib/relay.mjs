// A relay that can be told to go wrong: it stands between weir and a server, and stalls, cuts, or is not there.
import net from 'node:net';
import { freePort } from '../../e2e/lib/weir.mjs';

/* Relays what comes to a port of its own to `url`'s. `url` is then where to go through it.
 *
 *   stall(isStalled)   nothing passes, in either direction, and nothing is closed
 *   cut()              all connections are reset
 *   leave(), come()    nobody listens there any more; listens again
 *   count()            connections that there were
 */
export async function relay(url) {
    const target = new URL(url);
    const pairs = new Set();
    let isStalled = false;
    let taken = 0;
    const server = net.createServer(near => {
        const far = net.connect(Number(target.port), target.hostname);
        const pair = [near, far];
        taken += 1;
        pairs.add(pair);
        for (const [from, to] of [pair, [far, near]]) {
            from.on('data', bytes => to.write(bytes));
            from.on('end', () => to.end());
            from.on('error', () => to.destroy());
            from.on('close', () => (to.destroy(), pairs.delete(pair)));
            if (isStalled) from.pause();
        }
    });
    const come = port => new Promise(resolve => server.listen(port, '127.0.0.1', resolve));
    const port = await freePort(); // it is the same when the relay comes back
    await come(port);
    const cut = () => pairs.forEach(([near, far]) => (near.resetAndDestroy(), far.destroy()));
    return {
        url: `http://127.0.0.1:${port}${target.pathname}`,
        stall: now => {
            isStalled = now;
            for (const socket of [...pairs].flat()) now ? socket.pause() : socket.resume();
        },
        cut,
        leave: () => (cut(), new Promise(resolve => server.close(resolve))),
        come: () => come(port),
        count: () => taken
    };
}
