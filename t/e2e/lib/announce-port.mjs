// Preloaded into servers that print the port they were asked for, not the one they got: PORT=0 becomes usable. Nor do they close a
// connection in the moment in which a client goes on with it, as Node's do after five seconds.
import net from 'node:net';

const { listen } = net.Server.prototype;
net.Server.prototype.listen = function (...args) {
    this.keepAliveTimeout = 600_000;
    this.once('listening', () => console.error(`listening on port ${this.address().port}`));
    return listen.apply(this, args);
};
