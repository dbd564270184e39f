/* SPDX-License-Identifier: MIT */
/* accept() on a listener that generations share. */
#include "shim/accept.h"

#include <errno.h>

#include "shim/connection.h"
#include "shim/gate.h"
#include "shim/listener.h"
#include "shim/poke.h"
#include "shim/raw.h"
#include "shim/real.h"
#include "shim/sandbox.h"

/*
 * The kernel's accept().  Where a filter denies getpeername(), accept() itself gives the peer's
 * address.  Not inlined, so that the address is off the stack while the launcher is asked for a
 * slot.
 */
static __attribute__((noinline)) int accept_now(
        int fd, struct sockaddr *address, socklen_t *length, int flags, bool *ret_poke)
{
	struct sockaddr_storage peer = {0};
	socklen_t size = sizeof(peer);
	bool ours = sandbox_denies(SYS_getpeername);
	struct sockaddr *to = ours ? (struct sockaddr *)&peer : address;
	socklen_t *room = ours ? &size : length;
	int result = flags < 0 ? real.accept(fd, to, room) : real.accept4(fd, to, room, flags);
	if (result < 0)
		return result;
	*ret_poke = ours ? poke_is_from(&peer, size) : poke_is_peer(result);
	for (socklen_t i = 0; ours && address && length && i < size && i < *length; i++)
		((char *)address)[i] = ((char *)&peer)[i];
	if (ours && address && length)
		*length = size;
	return result;
}

int accept_gated(int listener, int fd, struct sockaddr *address, socklen_t *length, int flags)
{
	const struct moult_gate *gate = gate_of(listener);
	socklen_t given = length ? *length : 0;
	gate_mark_waiting(listener);
	for (;;) {
		bool nonblock =
		        atomic_load_explicit(&gate_view(listener)->nonblock, memory_order_relaxed);
		gate_enter();
		uint32_t word = atomic_load(&gate->word);
		uint32_t state = word & MOULT_GATE_STATE;
		if (gate_is_open(word)) {
			int saved = errno;
			bool poke = false;
			if (__builtin_expect(word & MOULT_GATE_ORPHANED, 0))
				listener_take_over(listener, fd);
			int result = accept_now(fd, address, length, flags, &poke);
			gate_leave();
			if (result >= 0 && !poke) {
				connection_opened(result);
				return result;
			}
			if (result >= 0) {
				raw(SYS_close, result);
				if (length)
					*length = given;
				if (!nonblock && listener_is_watched(listener))
					return fail(ECONNABORTED);
				continue;
			}
			/*
			 * EINVAL: shutdown() has ended the queue.  The gate changed before: ENDING
			 * counts as an empty queue, any other change is seen in the next round.
			 */
			if (errno != EINVAL ||
			        (!(word & MOULT_GATE_ENDING) && atomic_load(&gate->word) == word))
				return result;
			errno = saved;
			if (!(word & MOULT_GATE_ENDING))
				continue;
		}
		gate_withdraw(); /* no-op if gate_leave() already released the reservation */
		if (listener_is_mistaken(listener, fd))
			return flags < 0 ? real.accept(fd, address, length)
			                 : real.accept4(fd, address, length, flags);
		if (state == MOULT_GATE_SHUT)
			return fail(EINVAL);
		if (nonblock)
			return fail(EAGAIN);
		if (listener_was_announced(listener))
			return fail(ECONNABORTED);
		int slept = gate_sleep(listener, word, listener_receive_timeout(fd));
		if (slept < 0)
			return fail(slept == -ETIMEDOUT ? EAGAIN : -slept);
	}
}
