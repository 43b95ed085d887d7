// The physics of the benchmark for RDataFrame: the same cuts, in the same precision.
#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "ROOT/RVec.hxx"
#include "correction.h"

namespace bench {
using ROOT::RVec;
using ROOT::RVecD;
using ROOT::RVecF;
using ROOT::RVecI;
using Correction = correction::Correction::Ref;

std::vector<Correction> sources, muon;
Correction pileup;

std::vector<Correction> load(const std::string &path, const std::vector<std::string> &keys) {
  auto set = correction::CorrectionSet::from_file(path);
  std::vector<Correction> found;
  for (const auto &key : keys) found.push_back(set->at(key));
  return found;
}

struct P4 {
  double px = 0, py = 0, pz = 0, energy = 0;
  P4() = default;
  P4(double pt, double eta, double phi, double mass)
      : px(pt * std::cos(phi)), py(pt * std::sin(phi)), pz(pt * std::sinh(eta)),
        energy(std::sqrt(px * px + py * py + pz * pz + mass * mass)) {}
  P4 operator+(const P4 &other) const {
    P4 sum;
    sum.px = px + other.px;
    sum.py = py + other.py;
    sum.pz = pz + other.pz;
    sum.energy = energy + other.energy;
    return sum;
  }
  double mass() const {
    return std::sqrt(std::max(energy * energy - px * px - py * py - pz * pz, 0.0));
  }
};

P4 chosen(const RVecF &pt, const RVecF &eta, const RVecF &phi, const RVecF &mass, int i) {
  return P4(pt[i], eta[i], phi[i], mass[i]);
}

// One for each source up, then down, as the histograms are named.
RVec<RVecF> shifted(const RVecF &pt, const RVecF &eta) {
  RVec<RVecF> all;
  all.reserve(2 * sources.size());
  for (const auto &source : sources) {
    RVecF up(pt.size()), down(pt.size());
    for (size_t i = 0; i < pt.size(); ++i) {
      const double value = source->evaluate({double(eta[i]), double(pt[i])});
      up[i] = pt[i] * (1 + value);
      down[i] = pt[i] * (1 - value);
    }
    all.push_back(std::move(up));
    all.push_back(std::move(down));
  }
  return all;
}

double weight(float gen_weight, float n_true, float muon_eta, float muon_pt) {
  double product = double(gen_weight) * pileup->evaluate({double(n_true), "nominal"});
  for (const auto &factor : muon)
    product *= factor->evaluate({double(std::abs(muon_eta)), double(muon_pt), "nominal"});
  return product;
}

// Position of the first jet above `min_pt`; -1 if fewer than two are.
int leading(const RVecF &pt, float min_pt) {
  int first = -1, n = 0;
  for (size_t i = 0; i < pt.size(); ++i)
    if (pt[i] > min_pt && n++ == 0) first = i;
  return n >= 2 ? first : -1;
}
}  // namespace bench
