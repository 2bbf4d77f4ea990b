#include "shim.h"

#include <GraphMol/ChemTransforms/ChemTransforms.h>
#include <GraphMol/Fingerprints/MorganFingerprints.h>
#include <GraphMol/GraphMol.h>
#include <GraphMol/MolOps.h>
#include <GraphMol/SmilesParse/SmilesParse.h>
#include <GraphMol/SmilesParse/SmilesWrite.h>
#include <GraphMol/Substruct/SubstructMatch.h>
#include <DataStructs/ExplicitBitVect.h>
#include <RDGeneral/RDLog.h>
#include <RDGeneral/versions.h>

#include <cstring>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

using namespace RDKit;

namespace {

// RDKit reports syntax errors through its log only: each thread captures its own.
thread_local std::string captured;
struct CaptureBuffer : std::streambuf {
  int overflow(int c) override {
    if (c != EOF && captured.size() < 4096) captured.push_back(static_cast<char>(c));
    return c;
  }
  std::streamsize xsputn(const char *p, std::streamsize n) override {
    if (captured.size() < 4096) captured.append(p, n);
    return n;
  }
};

std::string scaffold(const ROMol &m) {
  if (m.getRingInfo()->numRings() == 0) return "";  // MurckoDecompose finds out too, but takes cubic time
  std::unique_ptr<ROMol> s(MurckoDecompose(m));
  s->clearComputedProps();
  s->updatePropertyCache();
  MolOps::symmetrizeSSSR(*s);
  return MolToSmiles(*s);
}

std::unique_ptr<ExplicitBitVect> morgan(const ROMol &m) {
  return std::unique_ptr<ExplicitBitVect>(MorganFingerprints::getFingerprintAsBitVect(m, 2, 2048));
}

// largest is the number of atoms that a molecule may have. RDKit writes SMILES by recursion along the longest path, which
// overflows the 8 MB stack of a thread somewhere above 10000 atoms.
const unsigned largest = 5000;

// molecule is RDKit's SmilesToMol step by step, without the last flag of assignStereochemistry: the flag marks atoms that
// could be stereocentres but are not given as such, which nothing here asks for, and its ranking of all atoms takes time
// that grows with the cube of a molecule's diameter (0.6 s for a chain of 1000 atoms).
std::unique_ptr<RWMol> molecule(const std::string &smiles) {
  SmilesParserParams syntax_only;
  syntax_only.sanitize = false;
  syntax_only.removeHs = false;
  std::unique_ptr<RWMol> m(SmilesToMol(smiles, syntax_only));
  if (!m) return m;
  const bool implicit_only = false, update_explicit_count = true, sanitize = true;
  MolOps::removeHs(*m, implicit_only, update_explicit_count, sanitize);
  const bool clean_it = true, force = true, flag_possible = false;
  MolOps::assignStereochemistry(*m, clean_it, force, flag_possible);
  return m;
}

// start silences RDKit and runs one molecule through every feature: the first parse of a process is not thread-safe.
void start() {
  static std::once_flag once;
  std::call_once(once, [] {
    static CaptureBuffer buffer;
    static std::ostream stream(&buffer);
    RDLog::InitLogs();
    rdErrorLog = std::make_shared<boost::logging::rdLogger>(&stream);
    boost::logging::disable_logs("rdApp.warning");
    boost::logging::disable_logs("rdApp.info");
    boost::logging::disable_logs("rdApp.debug");
    std::unique_ptr<RWMol> m = molecule("C[C@H](N)c1ccccc1/C=C/Cl");
    std::unique_ptr<RWMol> q(SmartsToMol("[C!$(C-[OH])]=C"));
    MatchVectType match;
    SubstructMatch(*m, *q, match);
    MolToSmiles(*m);
    scaffold(*m);
    morgan(*m);
  });
}

std::string logged() {
  std::string s = captured.substr(0, captured.find('\n'));
  if (s.size() > 11 && s[0] == '[') s = s.substr(s.find(']') + 1);
  size_t at = s.find_first_not_of(" \t");
  return at == std::string::npos ? "not a valid SMILES" : s.substr(at);
}

// guarded calls f, which may throw, and returns false and the reason if it did.
template <class F>
bool guarded(std::string *why, F f) {
  try {
    f();
    return true;
  } catch (const std::exception &e) {
    *why = e.what();
  } catch (...) {
    *why = "RDKit failed";
  }
  return false;
}

// parse returns the molecule, or null and the reason.
std::unique_ptr<RWMol> parse(const std::string &smiles, std::string *why) {
  // RDKit takes what follows white space as a name or CXSMILES.
  if (smiles.find_first_of(" \t\n\v\f\r") != std::string::npos) {
    *why = "text after the SMILES";
    return nullptr;
  }
  // Its scanner stops at a zero byte and would accept what stands before.
  if (smiles.find('\0') != std::string::npos) {
    *why = "zero byte in the SMILES";
    return nullptr;
  }
  captured.clear();
  std::unique_ptr<RWMol> m;
  if (!guarded(why, [&] { m = molecule(smiles); })) return nullptr;
  if (!m) {
    *why = logged();
    return nullptr;
  }
  if (m->getNumAtoms() == 0) {
    *why = "no atoms";
    return nullptr;
  }
  if (m->getNumAtoms() > largest) {
    *why = std::to_string(m->getNumAtoms()) + " atoms; at most " + std::to_string(largest) + " can be handled";
    return nullptr;
  }
  return m;
}

std::string text_at(const char *text, const int64_t *offset, int i) {
  return std::string(text + offset[i], text + offset[i + 1]);
}

uint8_t clip(int v, int last) { return static_cast<uint8_t>(v < 0 || v > last ? last : v); }

// Index of v among choices, or the number of choices ("misc").
template <size_t N>
uint8_t among(const int (&choices)[N], int v) {
  for (size_t i = 0; i < N; i++)
    if (choices[i] == v) return static_cast<uint8_t>(i);
  return N;
}

void atom_hu(const Atom *a, uint8_t *f) {
  // 118 elements from 0 on as in pretrain-gnns chem/loader.py, 118 a dummy atom, 119 the mask.
  f[0] = clip(a->getAtomicNum() - 1, 118);
  f[1] = clip(static_cast<int>(a->getChiralTag()), 3);
}

void atom_ogb(const Atom *a, uint8_t *f, const RingInfo *rings) {
  f[0] = clip(a->getAtomicNum() - 1, 118);
  f[1] = clip(static_cast<int>(a->getChiralTag()), 4);
  f[2] = clip(a->getTotalDegree(), 11);
  int q = a->getFormalCharge();
  f[3] = q >= -5 && q <= 5 ? q + 5 : 11;
  f[4] = clip(a->getTotalNumHs(), 9);
  f[5] = clip(a->getNumRadicalElectrons(), 5);
  static const int hybrid[] = {Atom::SP, Atom::SP2, Atom::SP3, Atom::SP3D, Atom::SP3D2};
  f[6] = among(hybrid, a->getHybridization());
  f[7] = a->getIsAromatic();
  f[8] = rings->numAtomRings(a->getIdx()) > 0;
}

void bond_features(const Bond *b, bool ogb, uint8_t *f) {
  static const int types[] = {Bond::SINGLE, Bond::DOUBLE, Bond::TRIPLE, Bond::AROMATIC};
  uint8_t type = among(types, b->getBondType());
  if (ogb) {
    static const int stereo[] = {Bond::STEREONONE, Bond::STEREOZ, Bond::STEREOE, Bond::STEREOCIS, Bond::STEREOTRANS, Bond::STEREOANY};
    f[0] = type;
    f[1] = clip(among(stereo, b->getStereo()), 5);
    f[2] = b->getIsConjugated();
    return;
  }
  // The encoding has four bond types; any other (dative, zero) counts as single. Directions: none, up, down.
  f[0] = type < 4 ? type : 0;
  f[1] = b->getBondDir() == Bond::ENDUPRIGHT ? 1 : b->getBondDir() == Bond::ENDDOWNRIGHT ? 2 : 0;
}

template <class T>
T *copy_out(const std::vector<T> &v) {
  T *p = static_cast<T *>(malloc(v.size() * sizeof(T) + 1));
  if (!v.empty()) memcpy(p, v.data(), v.size() * sizeof(T));
  return p;
}

char *copy_text(const std::string &s) {
  char *p = static_cast<char *>(malloc(s.size() + 1));
  memcpy(p, s.c_str(), s.size() + 1);
  return p;
}

}  // namespace

extern "C" {

tw_mol_batch *tw_featurize(const char *text, const int64_t *offset, int32_t n, int ogb) {
  start();
  const int fields = ogb ? 9 : 2, bfields = ogb ? 3 : 2;
  std::vector<uint8_t> ok(n), atom, bond;
  std::vector<uint32_t> atoms(n), edges(n);
  std::vector<uint16_t> degree, nbr;
  std::vector<char *> error(n, nullptr);
  for (int i = 0; i < n; i++) {
    const size_t atoms_before = degree.size(), edges_before = nbr.size();
    std::string why;
    std::unique_ptr<RWMol> m = parse(text_at(text, offset, i), &why);
    ok[i] = m && guarded(&why, [&] {
              const RingInfo *rings = m->getRingInfo();
              for (const Atom *a : m->atoms()) {
                size_t at = atom.size();
                atom.resize(at + fields);
                if (ogb)
                  atom_ogb(a, &atom[at], rings);
                else
                  atom_hu(a, &atom[at]);
                uint16_t d = 0;
                auto range = m->getAtomBonds(a);
                for (auto it = range.first; it != range.second; ++it, ++d) {
                  const Bond *b = (*m)[*it];
                  nbr.push_back(static_cast<uint16_t>(b->getOtherAtomIdx(a->getIdx())));
                  size_t e = bond.size();
                  bond.resize(e + bfields);
                  bond_features(b, ogb, &bond[e]);
                }
                degree.push_back(d);
              }
            });
    if (!ok[i]) {
      error[i] = copy_text(why);
      degree.resize(atoms_before);
      atom.resize(atoms_before * fields);
      nbr.resize(edges_before);
      bond.resize(edges_before * bfields);
    }
    atoms[i] = static_cast<uint32_t>(degree.size() - atoms_before);
    edges[i] = static_cast<uint32_t>(nbr.size() - edges_before);
  }
  auto *out = static_cast<tw_mol_batch *>(malloc(sizeof(tw_mol_batch)));
  out->n = n;
  out->ok = copy_out(ok);
  out->atoms = copy_out(atoms);
  out->edges = copy_out(edges);
  out->atom = copy_out(atom);
  out->degree = copy_out(degree);
  out->nbr = copy_out(nbr);
  out->bond = copy_out(bond);
  out->error = copy_out(error);
  out->total_atoms = degree.size();
  out->total_edges = nbr.size();
  return out;
}

void tw_mol_batch_free(tw_mol_batch *b) {
  for (int i = 0; i < b->n; i++) free(b->error[i]);
  free(b->ok);
  free(b->atoms);
  free(b->edges);
  free(b->atom);
  free(b->degree);
  free(b->nbr);
  free(b->bond);
  free(b->error);
  free(b);
}

char *tw_strings(const char *text, const int64_t *offset, int32_t n, int kind) {
  start();
  std::string all;
  for (int i = 0; i < n; i++) {
    std::string why, s;
    if (auto m = parse(text_at(text, offset, i), &why)) guarded(&why, [&] { s = kind == 1 ? MolToSmiles(*m) : scaffold(*m); });
    all += s + '\n';
  }
  return copy_text(all);
}

void tw_morgan(const char *text, const int64_t *offset, int32_t n, uint64_t *out) {
  start();
  memset(out, 0, sizeof(uint64_t) * 32 * n);
  for (int i = 0; i < n; i++) {
    std::string why;
    auto m = parse(text_at(text, offset, i), &why);
    if (!m) continue;
    IntVect on;
    guarded(&why, [&] { morgan(*m)->getOnBits(on); });
    for (int b : on) out[32 * i + b / 64] |= 1ull << (b % 64);
  }
}

int tw_motifs(const char *text, const int64_t *offset, int32_t n, const char *patterns, int words, uint64_t *out) {
  start();
  std::vector<std::unique_ptr<RWMol>> query;
  for (const char *p = patterns; *p;) {
    const char *end = strchr(p, '\n');
    std::string s = end ? std::string(p, end) : std::string(p);
    std::string why;
    std::unique_ptr<RWMol> q;
    guarded(&why, [&] { q.reset(SmartsToMol(s)); });
    if (!q) return 1 + static_cast<int>(query.size());
    query.push_back(std::move(q));
    p = end ? end + 1 : p + strlen(p);
  }
  memset(out, 0, sizeof(uint64_t) * words * n);
  for (int i = 0; i < n; i++) {
    std::string why;
    auto m = parse(text_at(text, offset, i), &why);
    if (!m) continue;
    for (size_t q = 0; q < query.size(); q++) {
      MatchVectType match;
      guarded(&why, [&] {
        if (SubstructMatch(*m, *query[q], match)) out[words * i + q / 64] |= 1ull << (q % 64);
      });
    }
  }
  return 0;
}

int tw_parse(const char *text, const int64_t *offset, int32_t n) {
  start();
  int accepted = 0;
  for (int i = 0; i < n; i++) {
    std::string why;
    std::unique_ptr<RWMol> m;
    guarded(&why, [&] { m.reset(SmilesToMol(text_at(text, offset, i))); });
    if (m) accepted++;
  }
  return accepted;
}

const char *tw_rdkit_version(void) { return rdkitVersion; }
}
