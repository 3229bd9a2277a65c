"""What tests/compare.py runs: the problems that commands start from, and the commands."""

SMALL = "-N 2 -n 3 -D 8 -H 2 -d 4 --outputs 2 --seed 3"
TINY = "-n 3 -H 1 -d 2"  # with sizes and seeds at which the ends of descent do not hang on rounding; few are so
WIDE = "-N 16 -n 6 -D 32 -H 2 -d 8 --outputs 4 --seed 3"  # P = 1600: beyond the dense eigensolver

INPUTS = {
    "softmax.h5": f"teacher {SMALL}",
    "gaussian.h5": f"teacher {SMALL} --kernel gaussian",
    "other.h5": f"teacher {SMALL} --init-seed 9",
    "third.h5": f"teacher {SMALL} --init-seed 10",
    "random.h5": f"teacher {SMALL} --targets random",
    "tiny.h5": f"teacher {TINY} -N 2 -D 8 --outputs 2 --seed 2",
    "tiny-gaussian.h5": f"teacher {TINY} -N 3 -D 4 --outputs 2 --seed 1 --kernel gaussian",
    "tiny-random.h5": f"teacher {TINY} -N 4 -D 4 --outputs 1 --targets random",
    "wide.h5": f"teacher {WIDE}",
    "wide-gaussian.h5": f"teacher {WIDE} --kernel gaussian --target-kernel softmax",
    "text.h5": "text reviews -N 6 -n 5 -D 12 -H 1 -d 4",
    "trap.h5": "construct softmax-trap",
    "classifier.h5": "architecture classifier.json -N 4 --init pytorch",
}

ENDS = "--largest 3 --smallest 3"
GRID = "-N 3 -n 3 --outputs 2 -H 1 -d 4 --sweep D=6,9 --sweep kernel=softmax,gaussian"
SWEEP = f"{GRID} --sweep input-scale=1:9:*3"
RECORDS = "--record-every 5 --checkpoint-every 20"


def resumed(step):
    """A step that is killed, and gone on with."""
    return [f"stop {step} --resume", f"{step} --resume"]


# Name -> the steps of a command, one after another in a folder of its own: a tool without `basin-` and its arguments.
# `stop` before it: killed once its journal grows, so that --resume has something to go on with; `fails`: must not end with 0.
COMMANDS = {
    "help": [f"{tool} --help" for tool in ("problem", "evaluate", "ntk", "hessian", "slice", "train", "stationary", "sweep")],
    "refusals": [
        "fails problem teacher -o p.h5 -N 0",
        "fails problem construct no-such-point -o p.h5",
        "fails evaluate none.h5 -o e.h5",
        "fails ntk softmax.h5 -o n.h5 --kernel cubic",
        "fails ntk wide.h5 -o n.h5 --method singular-values --memory 1M",
        "fails ntk softmax.h5 -o n.h5 --kernels sum --assert positive-definite,certified",
        "fails hessian softmax.h5 -o h.h5",
        "fails slice softmax.h5 -o s.h5 --x 1:-1:5",
        "fails train softmax.h5 -o r.h5 --step certificate",
        "fails stationary softmax.h5 -o c.h5 --at trap.h5",
        "fails sweep teacher -o w.h5 --sweep colour=red,blue",
        "fails sweep merge trap.h5 -o w.h5",
    ],
    "problem-teacher": [
        f"problem teacher -o plain.h5 {SMALL}",
        f"problem teacher -o noisy.h5 {SMALL} --kernel gaussian --bandwidth 1.5 --target-kernel softmax --target-heads 3"
        " --noise 0.1 --input-scale 2 --init orthogonal --gain W_O=2 --target-gain W_Q=3",
        f"problem teacher -o drawn.h5 {SMALL} --targets random --target-scale 3 --init xavier --data-seed 7 --init-seed 8",
        f"problem teacher -o bare.h5 {SMALL} --no-weights --target-init xavier --target-seed 4",
    ],
    "problem-construct": [f"problem construct {name} -o {name}.h5" for name in
                          ("softmax-trap", "gaussian-trap", "softmax-saddle", "zero-scores")],
    "problem-text": ["problem text reviews -o words.h5 -N 6 -n 8 -D 16 -H 2 -d 4 --word-scale 2 --seed 2"],
    "problem-import": [
        "problem import --X X.npy --Y Y.npy -o drawn.h5 -H 2 -d 3 --kernel gaussian --init xavier",
        "problem import --X X.npy --Y Y.npy --W_Q W_Q.npy --W_K W_K.npy --W_V W_V.npy --W_O W_O.npy -o given.h5",
    ],
    "evaluate-softmax": ["evaluate softmax.h5 -o e.h5 --random 2",
                         "evaluate other.h5 -o f.h5 --direction e.h5:/entry/evaluation/gradient"],
    "evaluate-gaussian": ["evaluate gaussian.h5 -o e.h5 --random 2 --train W_Q,W_O --seed 4"],
    "evaluate-drawn": ["evaluate random.h5 -o e.h5 --random 1 --kernel gaussian --init orthogonal"
                       " --heads 3 --head-dim 2 --gain W_K=2"],
    "evaluate-wide": ["evaluate wide-gaussian.h5 -o e.h5 --random 2 --memory 200K --threads 2"],
    "evaluate-float": ["evaluate wide.h5 -o e.h5 --random 1 --precision float"],
    "evaluate-network": ["evaluate classifier.h5 -o e.h5 --random 2 --by-tensor --train 'blocks.*,head.*'",
                         "evaluate classifier.h5 -o f.h5 --random 1 --precision float --memory 0 --threads 1"],
    "hessian-network": [f"hessian classifier.h5 -o h.h5 --largest 2 --density --train 'blocks.1.mlp.*'"],
    "slice-network": ["slice classifier.h5 -o s.h5 --x=-1:1:3 --y=-1:1:3 --quantities accuracy,gradient"],
    "train-network": ["train classifier.h5 -o r.h5 --steps 5 --final end.h5", "evaluate end.h5 -o e.h5"],
    "hessian-dense": [f"hessian softmax.h5 -o h.h5 {ENDS} --counts --norms --operator all",
                      "hessian softmax.h5 -o d.h5 --density"],
    "hessian-exhausted": ["hessian softmax.h5 -o d.h5 --density --operator gauss-newton"],
    "hessian-full": ["hessian gaussian.h5 -o h.h5 --full --eigenvectors --train W_Q,W_K --operator all"],
    "hessian-modulo": [f"hessian gaussian.h5 -o h.h5 {ENDS} --counts --density --modulo-symmetries --threads 2"],
    "hessian-block": ["hessian random.h5 -o h.h5 --full --norms --counts --block W_V --train W_Q+W_V"],
    "hessian-trap": ["hessian trap.h5 -o h.h5 --full --counts --train W_Q",
                     "hessian trap.h5 -o g.h5 --counts --kernel gaussian --train W_Q,W_K"],
    "hessian-krylov": [f"hessian wide.h5 -o h.h5 {ENDS} --eigenvectors --norms --norm-probes 5 --memory 5M --threads 2"],
    "hessian-krylov-density": ["hessian wide-gaussian.h5 -o h.h5 --density --probes 3 --steps 40 --operator gauss-newton"],
    "hessian-krylov-counts": ["hessian softmax.h5 -o h.h5 --smallest 2 --counts --modulo-symmetries --dense-limit 0"],
    "hessian-inertia": ["hessian wide-gaussian.h5 -o h.h5 --counts --norms"],
    "hessian-resume": resumed(f"hessian wide.h5 -o h.h5 {ENDS} --density --norms --operator all --dense-limit 0"),
    "ntk-softmax": ["ntk softmax.h5 -o n.h5"],
    "ntk-unions": ["ntk gaussian.h5 -o n.h5 --kernels unions --compare --suggest"],
    "ntk-certificate": ["ntk softmax.h5 -o n.h5 --train W_V --suggest --assert certified"],
    "ntk-singular-values": ["ntk wide-gaussian.h5 -o n.h5 --method singular-values --kernels sum --threads 2"],
    "ntk-formed": ["ntk wide.h5 -o n.h5 --method formed",
                   "ntk wide-gaussian.h5 -o g.h5 --method formed --kernels sum"],
    "ntk-matrix-free": ["ntk wide.h5 -o n.h5 --method matrix-free",
                        "ntk wide-gaussian.h5 -o g.h5 --memory 3M --max-products 200"],
    "ntk-text": ["ntk text.h5 -o n.h5 --compare"],
    "slice-plane": ["slice softmax.h5 -o s.h5 --x -1:1:21 --y -1:1:15",
                    "slice gaussian.h5 -o g.h5 --normalise gauge --x -1:1:9 --y -1:1:9 --threads 2"],
    "slice-quantities": ["slice softmax.h5 -o s.h5 --u largest --v smallest --quantities eigenvalues,gradient,ntk"
                         " --x -1:1:5 --y -1:1:5"],
    "slice-blocks": ["slice gaussian.h5 -o s.h5 --train W_Q,W_K --u gradient --v symmetry --orthogonalise"
                     " --quantities gradient --x -1:1:9 --y -1:1:9"],
    "slice-lines": ["slice gaussian.h5 -o s.h5 --lines 8 --x -1:1:21"],
    "slice-points": [
        "slice softmax.h5 -o line.h5 --to other.h5 --x -0.5:1.5:21 --quantities gradient",
        "slice softmax.h5 -o plane.h5 --to other.h5 --to third.h5 --x 0:1:9 --y 0:1:9",
    ],
    "slice-trajectory": [
        "train softmax.h5 -o run.h5 --steps 60 --checkpoint-every 3",
        "slice softmax.h5 -o s.h5 --trajectory run.h5 --u pca:1 --v pca:2 --x -0.5:1.25:15 --y -0.5:1:15",
    ],
    "slice-text": ["slice text.h5 -o s.h5 --quantities accuracy --normalise block --x -1:1:9 --y -1:1:9 --seed 2"],
    "slice-parts": [*(f"slice softmax.h5 -o part{i}.h5 --part {i}/3 --x -1:1:11 --y -1:1:9 --quantities gradient"
                      for i in (1, 2, 3)),
                    "slice merge part1.h5 part2.h5 part3.h5 -o s.h5"],
    "slice-resume": resumed("slice wide.h5 -o s.h5 --quantities gradient --x -1:1:51 --y -1:1:51"),
    "train-flow": [f"train softmax.h5 -o r.h5 --steps 150 --certify {RECORDS} --final end.h5",
                   "hessian end.h5 -o h.h5 --smallest 3 --counts"],
    "train-gaussian": [f"train gaussian.h5 -o r.h5 --steps 100 --ntk --train W_Q,W_K {RECORDS}"],
    "train-guaranteed": [f"train softmax.h5 -o r.h5 --steps 60 --step guaranteed {RECORDS}"],
    "train-certificate": [f"train softmax.h5 -o r.h5 --steps 60 --step certificate --train W_V --certify {RECORDS}"],
    "train-fixed": [f"train random.h5 -o r.h5 --steps 100 --step 0.01 --kernel gaussian {RECORDS}"],
    "train-line-search": [f"train softmax.h5 -o r.h5 --steps 60 --method line-search --ntk {RECORDS}"],
    "train-momentum": [f"train gaussian.h5 -o r.h5 --steps 60 --method momentum --momentum 0.8 {RECORDS}"],
    "train-adam": [f"train softmax.h5 -o r.h5 --steps 60 --method adam --step 0.01 {RECORDS}"],
    "train-lbfgs": [f"train gaussian.h5 -o r.h5 --steps 40 --method lbfgs --pairs 5 --certify {RECORDS}"],
    "train-newton": ["train softmax.h5 -o r.h5 --method newton --record-every 1 --final end.h5"],
    "train-resume": resumed("train wide.h5 -o r.h5 --steps 600 --record-every 2 --checkpoint-every 20 --final end.h5"),
    "stationary-starts": ["stationary tiny.h5 -o c.h5 --starts 4 --threads 2",
                          "stationary tiny-gaussian.h5 -o g.h5 --starts 4 --train W_Q,W_K"],
    "stationary-saddles": ["stationary tiny-random.h5 -o c.h5 --starts 3 --search saddles",
                           "stationary tiny-random.h5 -o g.h5 --starts 3 --search saddles --kernel gaussian"],
    "stationary-trap": ["stationary trap.h5 -o c.h5 --train W_Q --at trap.h5",
                        "stationary trap.h5 -o g.h5 --train W_Q --starts 1 --gain W_Q=3"],
    "stationary-escape": ["stationary trap.h5 -o c.h5 --train W_Q,W_K --at trap.h5 --escape away.h5"],
    "stationary-newton": ["stationary tiny.h5 -o c.h5 --starts 2 --method newton",
                          "stationary tiny.h5 -o l.h5 --starts 2 --method lbfgs --train W_V"],
    "stationary-from": [
        "train tiny-gaussian.h5 -o run.h5 --steps 20 --checkpoint-every 10 --train W_Q,W_K",
        "stationary tiny-gaussian.h5 -o c.h5 --train W_Q,W_K --from run.h5:/trajectory/theta --at run.h5:/trajectory/theta:1",
    ],
    "stationary-merge": [*(f"stationary tiny.h5 -o {seed}.h5 --starts 2 --seed {seed}" for seed in (1, 2)),
                         "stationary merge 1.h5 2.h5 -o c.h5"],
    "stationary-resume": resumed("stationary tiny.h5 -o c.h5 --starts 12"),
    "sweep-teacher": [f"sweep teacher -o w.h5 {SWEEP} --repeats 3 --threads 2"],
    "sweep-text": ["sweep text reviews -o w.h5 -N 4 -n 4 -d 2 --sweep D=8,16+H=1,2 --sweep train=W_V,W_Q+W_K --repeats 2"],
    "sweep-parts": [*(f"sweep teacher -o part{i}.h5 {SWEEP} --repeats 2 --part {i}/2 --seed 3" for i in (1, 2)),
                    "sweep merge part1.h5 part2.h5 -o w.h5"],
    "sweep-resume": resumed(f"sweep teacher -o w.h5 {GRID} --repeats 120"),
    "study": ["study -o study.h5 -N 2 -n 2 -H 1 -d 2 --outputs 1 --widths 4 --problems 1 --starts 3 --runs 1 --steps 10"
              " --train W_Q --targets random --more-gains none --no-pictures --jobs 1"],
}
