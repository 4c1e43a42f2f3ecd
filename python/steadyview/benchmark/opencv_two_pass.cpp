// OpenCV's TwoPassStabilizer as a peer: reads a video, writes Y4M to stdout, where an ffmpeg with
// everybody's encoder settings takes it. The settings are those of the library's videostab sample,
// except for the similarity motion model and the inclusion constraint (no border), which suit it
// better. It crops instead of zooming: the result is smaller than the source.
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <opencv2/core.hpp>
#include <opencv2/imgproc.hpp>
#include <opencv2/videostab.hpp>

namespace vs = cv::videostab;

int main(int argc, char** argv) {
  if (argc < 2) {
    std::cerr << "usage: opencv_two_pass INPUT [RADIUS] > OUTPUT.y4m\n";
    return 2;
  }
  const int radius = argc > 2 ? std::atoi(argv[2]) : 15;
  auto source = cv::makePtr<vs::VideoFileSource>(argv[1]);
  auto estimator = cv::makePtr<vs::MotionEstimatorRansacL2>(vs::MM_SIMILARITY);
  auto stabilizer = cv::makePtr<vs::TwoPassStabilizer>();
  stabilizer->setLog(cv::makePtr<vs::NullLog>());
  stabilizer->setFrameSource(source);
  stabilizer->setMotionEstimator(cv::makePtr<vs::KeypointBasedMotionEstimator>(estimator));
  stabilizer->setMotionStabilizer(cv::makePtr<vs::GaussianMotionFilter>(radius));
  stabilizer->setRadius(radius);
  stabilizer->setBorderMode(cv::BORDER_CONSTANT);
  stabilizer->setTrimRatio(0.1F);
  stabilizer->setCorrectionForInclusion(true);
  stabilizer->setEstimateTrimRatio(true);
  const long rate = std::lround(source->fps() * 1000);
  bool started = false;
  for (;;) {
    const cv::Mat frame = stabilizer->nextFrame();
    if (frame.empty()) break;
    const cv::Mat even = frame(cv::Rect(0, 0, frame.cols & ~1, frame.rows & ~1));
    if (!started) {
      std::printf("YUV4MPEG2 W%d H%d F%ld:1000 Ip A1:1 C420jpeg\n", even.cols, even.rows, rate);
      started = true;
    }
    cv::Mat planes;
    cv::cvtColor(even, planes, cv::COLOR_BGR2YUV_I420);
    std::fputs("FRAME\n", stdout);
    const size_t bytes = planes.total();
    if (std::fwrite(planes.data, 1, bytes, stdout) != bytes) return 1;
  }
  return started ? 0 : 1;
}
