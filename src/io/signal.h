/*
 * The part of signal.c that fork needs: see rt/fork.h.
 */
#ifndef LIDO_IO_SIGNAL_H
#define LIDO_IO_SIGNAL_H

/* Blocks all signals of this thread, and keeps the handler of every other one waiting. */
void lido__signals_hold(void);
void lido__signals_let_go(void);

/* Between the two: those who wait are another process's, and nothing may be written to their pipes. */
void lido__signals_forget(void);

#endif
