// Preloaded into servers that print the port they were asked for, not the one they got: PORT=0 becomes usable.
import net from 'node:net';

const { listen } = net.Server.prototype;
net.Server.prototype.listen = function (...args) {
    this.once('listening', () => console.error(`listening on port ${this.address().port}`));
    return listen.apply(this, args);
};
