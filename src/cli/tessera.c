/* SPDX-License-Identifier: Apache-2.0
 * The program: finds the command and runs it. */
#include <stdio.h>

int main(void)
{
    fputs("tessera: no command given\n", stderr);
    return 2;
}
