#include "cli/interrupt.h"

#include <signal.h>
#include <stddef.h>

struct km_cancel km_interrupt = KM_CANCEL_INIT;

static void on_signal(int number)
{
    (void)number;
    km_cancel_request(&km_interrupt);
}

void km_interrupt_catch(void)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND}, present;
    sigemptyset(&action.sa_mask);
    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
    if (sigaction(SIGHUP, NULL, &present) == 0 && present.sa_handler != SIG_IGN)
        (void)sigaction(SIGHUP, &action, NULL);
}
