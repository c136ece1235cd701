#ifndef BOUNDARY_H
#define BOUNDARY_H

void test_boundaries(void);

#endif
