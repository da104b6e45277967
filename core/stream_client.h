/* stream_client.h: clients whose messages stand on a stream, by any framing; see weir_stream_clients_t. */
#ifndef STREAM_CLIENT_H
#define STREAM_CLIENT_H

#include <weir/framing.h>

void stream_client_open(weir_stream_clients_t *all, weir_stream_t *stream);
/* Close them all; what is queued for them is still written. */
void stream_clients_close(weir_stream_clients_t *all);

#endif
