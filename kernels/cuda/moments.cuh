// Moments of the columns of a matrix in parts of a fixed size, for batch normalisation: from the matrix, or from a product before it
// is written. Both ways have the same bits, so no multiplication here is left to the compiler to join with an addition.
#pragma once
#include "common.cuh"

enum : int {
  kRun = 4,  // rows of a column whose moments are taken at a time
};

// Moments of weighted numbers: their weight, their mean and the sum of m (x-mean)^2. Joining those of a few rows at a time keeps
// the digits that E[x^2]-mean^2 loses, provided that means are small beside deviations: numbers are taken relative to one of them,
// which is at most sqrt(rows) deviations away from the mean.
struct Moments {
  float weight, mean, square;
};

template <class F>
TW_DEV Moments join(int n, F at) {
  Moments all = {};
#pragma unroll 2
  for (int i = 0; i < n; i++) {
    const Moments m = at(i);
    all.weight += m.weight;
    all.mean = fmaf(m.weight, m.mean, all.mean);
  }
  if (all.weight > 0) all.mean /= all.weight;
#pragma unroll 2
  for (int i = 0; i < n; i++) {
    const Moments m = at(i);
    const float d = m.mean - all.mean;
    all.square = fmaf(m.weight * d, d, all.square + m.square);
  }
  return all;
}

// ColumnMoments are the moments of W columns over every kWarps-th row of a part of 128, relative to origin, its first row. A thread keeps
// kRun rows in registers, goes over them twice and joins their moments to those of the rows before (Chan 1979).
template <int W>
struct ColumnMoments {
  Pack<W> origin, centre = {}, square = {};
  float seen = 0;

  __device__ explicit ColumnMoments(Pack<W> origin) : origin(origin) {}

  // add takes rows x with weights m, 0 for one that is not there.
  __device__ void add(Pack<W> (&x)[kRun], const float (&m)[kRun]) {
    Pack<W> mean = {};
    float total = 0;
#pragma unroll
    for (int i = 0; i < kRun; i++) {
      total += m[i];
#pragma unroll
      for (int e = 0; e < W; e++) {
        x[i].v[e] -= origin.v[e];
        mean.v[e] = fmaf(m[i], x[i].v[e], mean.v[e]);
      }
    }
    if (!(total > 0)) return;
    const float each = 1 / total, share = total / (seen + total);
#pragma unroll
    for (int e = 0; e < W; e++) {
      mean.v[e] *= each;
      const float d = mean.v[e] - centre.v[e];
      centre.v[e] = seen > 0 ? fmaf(d, share, centre.v[e]) : mean.v[e];
      square.v[e] = fmaf(d * d * seen, share, square.v[e]);
#pragma unroll
      for (int i = 0; i < kRun; i++) {
        const float r = x[i].v[e] - mean.v[e];
        square.v[e] = fmaf(m[i] * r, r, square.v[e]);
      }
    }
    seen += total;
  }
};
