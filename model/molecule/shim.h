// C interface to RDKit. Every function is safe to call from several threads at once, each with molecules of its own.
#pragma once
#include <stddef.h>
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif

// tw_mol_batch is the result of tw_featurize: flat arrays over the molecules that were accepted, in order.
typedef struct {
  int32_t n;          // molecules asked for
  uint8_t *ok;        // (n) 1 where accepted
  uint32_t *atoms;    // (n) atoms, 0 where refused
  uint32_t *edges;    // (n) directed edges
  uint8_t *atom;      // (sum atoms, fields)
  uint16_t *degree;   // (sum atoms) neighbours of each atom
  uint16_t *nbr;      // (sum edges)
  uint8_t *bond;      // (sum edges, bond fields)
  char **error;       // (n) reason where refused, else null
  size_t total_atoms, total_edges;
} tw_mol_batch;

// tw_featurize parses n SMILES (text[offset[i] .. offset[i+1])) and writes integer features: ogb = 0 for Hu et al. 2020
// (atomic number less 1, chirality; bond type, direction), 1 for the OGB set (9 and 3). Free the result with
// tw_mol_batch_free.
tw_mol_batch *tw_featurize(const char *text, const int64_t *offset, int32_t n, int ogb);
void tw_mol_batch_free(tw_mol_batch *b);

// tw_strings writes a text for each molecule, each ended by '\n': kind 0 the Bemis-Murcko scaffold with chirality, kind 1
// the canonical SMILES; empty for a molecule that RDKit refuses. The caller frees the result with free().
char *tw_strings(const char *text, const int64_t *offset, int32_t n, int kind);

// tw_morgan writes Morgan fingerprints of radius 2, 2048 bits, 32 words a molecule.
void tw_morgan(const char *text, const int64_t *offset, int32_t n, uint64_t *out);

// tw_motifs writes which of the SMARTS patterns (newline-joined) occur, words words a molecule. Returns 0, or 1 + the index
// of a pattern that does not parse.
int tw_motifs(const char *text, const int64_t *offset, int32_t n, const char *patterns, int words, uint64_t *out);

// tw_parse only calls RDKit's SmilesToMol: the yardstick of the featuriser's benchmark. Returns the number of molecules accepted.
int tw_parse(const char *text, const int64_t *offset, int32_t n);

const char *tw_rdkit_version(void);
#ifdef __cplusplus
}
#endif
