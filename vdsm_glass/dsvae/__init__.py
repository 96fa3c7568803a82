"""The DSVAE family: a static s and a dynamic z_{1:T}.  [Li and Mandt 2018, arXiv 1803.02991]

C-DSVAE [Bai et al. 2021, arXiv 2110.12091] adds terms to the loss, DBSE [Berman et al. 2024, arXiv 2406.18131] infers s
from one frame and takes that frame away from the dynamics.
"""
